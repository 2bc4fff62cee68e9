package servicebus_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/servicebus"
	"github.com/eventflow-go/eventflow/servicebus/servicebustest"
)

func secretOf(connectionString string) string {
	for part := range strings.SplitSeq(connectionString, ";") {
		if v, ok := strings.CutPrefix(part, "SharedAccessKey="); ok {
			return v
		}
	}
	return ""
}

// TestWhatTheServiceRefusesIsATypedErrorThatSaysWhatToDo: each names its entity, and none a secret.
func TestWhatTheServiceRefusesIsATypedErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {}, "sess": {RequiresSession: true}}, func(b *bench) {
		ctx, cancel := context.WithTimeout(b.Context(), patience)
		defer cancel()
		good := b.server.ConnectionString()
		wrong := b.connect(strings.Replace(good, "SharedAccessKey=", "SharedAccessKey=x", 1))
		defer b.close(wrong)
		sends := b.connect(b.server.Grant(servicebustest.Send, "q"))
		defer b.close(sends)
		listens := b.connect(b.server.Grant(servicebustest.Listen, ""))
		defer b.close(listens)
		publish := func(p *servicebus.Publisher, ev eventflow.Event) error { return p.Publish(ctx, ev) }
		start := func(s *servicebus.Subscriber) error { return s.Start(ctx, eventflow.Listening{}) }
		ev := eventflow.Event{ID: "1", Source: "s", Type: "t", Data: []byte("x")}
		for name, x := range map[string]struct {
			err    error
			kind   error
			entity string
			do     string
		}{
			"wrong key, publishing":           {publish(wrong.Publisher("q"), ev), servicebus.ErrUnauthorized, "q", "the right Send"},
			"wrong key, subscribing":          {start(wrong.Queue("q")), servicebus.ErrUnauthorized, "q", "the right Listen"},
			"wrong key, subscribing, session": {start(wrong.Queue("sess", servicebus.Sessions(1))), servicebus.ErrUnauthorized, "sess", "the right Listen"},
			"missing right to listen":         {start(sends.Queue("q")), servicebus.ErrUnauthorized, "q", "the right Listen"},
			"missing right to send":           {publish(listens.Publisher("q"), ev), servicebus.ErrUnauthorized, "q", "the right Send"},
			"missing right to send copies":    {start(listens.Queue("q", servicebus.DelayByCopy())), servicebus.ErrUnauthorized, "q", "the right Send"},
			"missing queue":                   {start(b.bus.Queue("none")), eventflow.ErrNoTopic, "none", "create"},
			"missing queue, publishing":       {publish(b.bus.Publisher("none"), ev), eventflow.ErrNoTopic, "none", "create"},
			"missing subscription":            {start(b.bus.Subscription("none", "sub")), eventflow.ErrNoTopic, "none/Subscriptions/sub", "create"},
			"session required, publishing":    {publish(b.bus.Publisher("sess"), ev), servicebus.ErrSessions, "sess", "a Key"},
			"session required, subscribing":   {start(b.bus.Queue("sess")), servicebus.ErrSessions, "sess", "servicebus.Sessions"},
		} {
			require.ErrorIs(b, x.err, x.kind, name)
			require.ErrorIs(b, x.err, eventflow.ErrFatal, name)
			require.ErrorContains(b, x.err, `"`+x.entity+`"`, name)
			require.ErrorContains(b, x.err, x.do, name)
			require.NotContains(b, x.err.Error(), secretOf(good), name)
		}
		none := b.bus.Queue("q", servicebus.Sessions(1))
		_, err := none.Next(ctx, eventflow.Want{})
		require.ErrorIs(b, err, servicebus.ErrSessions)
		require.ErrorIs(b, err, eventflow.ErrFatal)

		big := eventflow.Event{ID: "big", Source: "s", Type: "t", Data: make([]byte, 300<<10)}
		err = publish(b.bus.Publisher("q"), big)
		require.ErrorIs(b, err, eventflow.ErrTooLarge)
		require.ErrorContains(b, err, `"q"`)
		require.True(b, eventflow.IsPermanent(err))
	})
}

// TestAnEntityThatIsMadeAgainIsFoundAgain: once it was there, its absence is waited for.
func TestAnEntityThatIsMadeAgainIsFoundAgain(t *testing.T) {
	t.Parallel()
	bubble(t, map[string]servicebustest.Queue{"q": {}}, func(b *bench) {
		s := b.bus.Queue("q")
		defer b.close(s)
		require.NoError(b, s.Start(b.Context(), eventflow.Listening{}))
		b.publish(numbered(1, 0)...)
		b.next(s).Ack()
		require.NoError(b, b.server.Delete("q"))
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		_, err := s.Next(ctx, eventflow.Want{})
		cancel()
		require.ErrorIs(b, err, eventflow.ErrNoTopic)
		require.NotErrorIs(b, err, eventflow.ErrFatal)
		require.NoError(b, b.server.CreateQueue("q", servicebustest.Queue{}))
		b.publish(numbered(1, 0)...)
		b.next(s).Ack()
	})
}

func TestANamespaceThatCannotBeReachedIsWaitedFor(t *testing.T) {
	t.Parallel()
	b, err := servicebus.New(servicebus.Config{ConnectionString: "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=k;SharedAccessKey=secret;UseDevelopmentEmulator=true"})
	require.NoError(t, err)
	s := b.Queue("q")
	require.NoError(t, s.Start(t.Context(), eventflow.Listening{}))
	_, err = s.Next(t.Context(), eventflow.Want{})
	require.Error(t, err)
	require.NotErrorIs(t, err, eventflow.ErrFatal)
	require.NotContains(t, err.Error(), "secret")
	require.NoError(t, b.Close(t.Context()))
}

func TestWrongConfigurationsAreRefusedByName(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		c     servicebus.Config
		field string
	}{
		"nothing":              {servicebus.Config{}, "ConnectionString"},
		"both":                 {servicebus.Config{ConnectionString: "secret", Namespace: "n"}, "ConnectionString"},
		"no connection string": {servicebus.Config{ConnectionString: "secret"}, "ConnectionString"},
		"no key":               {servicebus.Config{ConnectionString: "Endpoint=sb://secret;SharedAccessKeyName=k"}, "ConnectionString"},
		"no host":              {servicebus.Config{ConnectionString: "Endpoint=secret;SharedAccessKeyName=k;SharedAccessKey=v"}, "ConnectionString"},
		"no credential":        {servicebus.Config{Namespace: "n"}, "Credential"},
	} {
		_, err := servicebus.New(x.c)
		var c *eventflow.ConfigError
		require.ErrorAs(t, err, &c, name)
		require.Equal(t, "servicebus.Config."+x.field, c.Field, name)
		require.NotContains(t, err.Error(), "secret", name)
	}
	b, err := servicebus.New(servicebus.Config{ConnectionString: "Endpoint=sb://n;SharedAccessKeyName=k;SharedAccessKey=v"})
	require.NoError(t, err)
	for field, err := range map[string]error{
		"servicebus subscriber":        b.Queue("").Err(),
		"servicebus publisher":         b.Publisher("/q").Err(),
		"servicebus subscriber option": b.Queue("q", nil).Err(),
		"servicebus publisher option":  b.Publisher("q", nil).Err(),
		"eventflow.Group":              b.Queue("q", eventflow.Group("g")).Err(),
		"servicebus.Subscription":      b.Subscription("t", "a/b").Err(),
		"servicebus.Sessions":          b.Queue("q", servicebus.Sessions(0)).Err(),
		"servicebus.SessionIdle":       b.Queue("q", servicebus.SessionIdle(0)).Err(),
		"servicebus.LockDuration":      b.Queue("q", servicebus.LockDuration(time.Hour)).Err(),
		"servicebus.DelayByCopy":       b.Subscription("t", "a", servicebus.DelayByCopy()).Err(),
		"servicebus.Delay":             b.Publisher("q", servicebus.Delay(-1)).Err(),
	} {
		var c *eventflow.ConfigError
		require.ErrorAs(t, err, &c, field)
		require.Equal(t, field, c.Field)
	}
	require.Error(t, b.Queue("q", servicebus.Sessions(1), servicebus.DeadLetters()).Err())
	require.Error(t, b.Queue("q", servicebus.Sessions(1), servicebus.DelayByCopy()).Err())
	require.Error(t, b.Queue("q", servicebus.DeadLetters(), servicebus.DelayByCopy()).Err())
	require.NoError(t, b.Close(t.Context()))
	require.ErrorIs(t, b.Queue("q").Err(), eventflow.ErrClosed)
}

type credential struct{}

func (credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func TestAURLNamesTheBrokerAndNeverAnEntity(t *testing.T) {
	t.Parallel()
	const secret = "s3cr+t/="
	for raw, want := range map[string]string{
		"servicebus://key:" + url.QueryEscape(secret) + "@name":                             "servicebus/name.servicebus.windows.net/q",
		"servicebus://key:" + url.QueryEscape(secret) + "@name.servicebus.chinacloudapi.cn": "servicebus/name.servicebus.chinacloudapi.cn/q",
		"servicebus://key:" + url.QueryEscape(secret) + "@127.0.0.1:5672?emulator=true":     "servicebus/127.0.0.1/q",
		"servicebus://name":                "servicebus/name.servicebus.windows.net/q",
		"servicebus://name?emulator=false": "servicebus/name.servicebus.windows.net/q",
	} {
		b, err := broker.Open(t.Context(), raw, servicebus.SchemeWith(credential{}))
		require.NoError(t, err, raw)
		require.Equal(t, want, b.(*servicebus.Broker).Queue("q").String())
		require.NoError(t, b.Close(t.Context()))
	}
	for _, raw := range []string{
		"servicebus://", "servicebus://name/q", "servicebus://name#q", "servicebus://key@name", "servicebus://key:" + url.QueryEscape(secret) + "@name?x=y",
		"servicebus://name", "servicebus://key:a%3Bb@name", "servicebus://key:" + url.QueryEscape(secret) + "@name?emulator=1", "servicebus:name",
	} {
		_, err := broker.Open(t.Context(), raw, servicebus.Scheme)
		var c *eventflow.ConfigError
		require.ErrorAs(t, err, &c, raw)
		require.NotContains(t, err.Error(), secret)
	}
}
