package sqs_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/sqs"
	"github.com/eventflow-go/eventflow/sqs/sqstest"
)

// fourRights is what a subscriber may ask for, and no more.
var fourRights = []string{"ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage"}

func TestSubscribingWorksWithFourRights(t *testing.T) {
	t.Parallel()
	for form, queue := range map[string]func(s *sqstest.Server) string{
		"URL": func(s *sqstest.Server) string { return s.QueueURL("q") },
		"ARN": func(s *sqstest.Server) string { return s.ARN("q") },
	} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 10 * time.Second})
				b.publish(25)
				few := sqs.New(b.server.Grant(sqstest.Rights{Actions: fourRights, Queues: []string{"q"}}).Config())
				defer func() { require.NoError(t, few.Close(t.Context())) }()
				s := few.Subscriber(queue(b.server))
				require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
				ds := b.next(s, 25)
				time.Sleep(time.Minute) // renewed
				ds[0].Nack(0)
				ds[1].Release(time.Second)
				eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
				eventflow.SettleAll(b.next(s, 2), eventflow.Settlement{Verb: eventflow.Ack})
				require.NoError(t, s.Close(b.ctx))
				require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
			})
		})
	}
}

func TestMissingRightIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	for _, missing := range append([]string{"GetQueueUrl", "SendMessage"}, fourRights...) {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t, "q", sqstest.Queue{})
				require.NoError(t, b.server.CreateQueue("dead", sqstest.Queue{}))
				rights := append([]string{"GetQueueUrl", "SendMessage"}, fourRights...)
				rights = slices.DeleteFunc(rights, func(a string) bool { return a == missing })
				cred := b.server.Grant(sqstest.Rights{Actions: rights})
				few := sqs.New(cred.Config(), sqs.DeadLetterQueue(b.server.QueueURL("dead")))
				s := few.Subscriber("q")
				err := s.Start(b.ctx, eventflow.Listening{})
				var access *sqs.AccessError
				require.ErrorAs(t, err, &access)
				require.ErrorIs(t, err, eventflow.ErrFatal)
				require.Equal(t, "sqs:"+missing, access.Action)
				if missing == "SendMessage" {
					require.Equal(t, b.server.QueueURL("dead"), access.Queue)
				} else {
					require.Equal(t, "q", access.Queue)
				}
				require.NotContains(t, err.Error(), cred.Secret)
				require.Contains(t, err.Error(), missing)
				require.NoError(t, few.Close(b.ctx))
				require.Zero(t, b.server.Stats("q").InFlight, "nothing was received")
			})
		})
	}
}

func TestWrongCredentialsAreFinalAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		for _, code := range []string{"InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken"} {
			b.server.FailNext("GetQueueAttributes", "", sqstest.Fault{Action: sqstest.Refuse, Code: code, Message: "the string to sign was top-secret"})
			err := b.broker.Subscriber(b.server.QueueURL("q")).Start(b.ctx, eventflow.Listening{})
			var access *sqs.AccessError
			require.ErrorAs(t, err, &access)
			require.ErrorIs(t, err, eventflow.ErrFatal)
			require.Equal(t, code, access.Code)
			require.NotContains(t, err.Error(), "top-secret")
		}
	})
}

func TestRightThatIsTakenAwayLaterIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		cred := b.server.Grant(sqstest.Rights{Actions: fourRights})
		few := sqs.New(cred.Config())
		defer func() { require.NoError(t, few.Close(t.Context())) }()
		s := few.Subscriber(b.server.QueueURL("q"))
		require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
		cred.Set(sqstest.Rights{Actions: []string{"GetQueueAttributes"}})
		_, err := s.Next(b.ctx, eventflow.Want{Events: 1})
		var access *sqs.AccessError
		require.ErrorAs(t, err, &access)
		require.Equal(t, "sqs:ReceiveMessage", access.Action)
		require.NotErrorIs(t, err, eventflow.ErrFatal)
		cred.Set(sqstest.Rights{Actions: fourRights})
		b.publish(1)
		b.next(s, 1)[0].Ack()
	})
}

func TestMissingQueueIsFinalAtTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		for _, name := range []string{"none", "http://sqs.test/000000000000/none"} {
			err := b.broker.Subscriber(name).Start(b.ctx, eventflow.Listening{})
			require.ErrorIs(t, err, eventflow.ErrNoTopic)
			require.ErrorIs(t, err, eventflow.ErrFatal)
		}
	})
}

func TestQueueDeletedAndMadeAgainIsFoundAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		s := b.broker.Subscriber("q")
		require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
		b.publish(1)
		b.next(s, 1)[0].Ack()
		require.NoError(t, b.server.DeleteQueue("q"))
		_, err := s.Next(b.ctx, eventflow.Want{Events: 1})
		require.ErrorIs(t, err, eventflow.ErrNoTopic)
		require.NotErrorIs(t, err, eventflow.ErrFatal)
		require.NoError(t, b.server.CreateQueue("q", sqstest.Queue{}))
		b.publish(1)
		b.next(s, 1)[0].Ack()
	})
}

func TestQueueThatCannotBeReachedIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: time.Second})
		stop := b.server.Intercept(func(sqstest.Request) sqstest.Fault { return sqstest.Fault{Action: sqstest.Cut} })
		s := b.broker.Subscriber(b.server.QueueURL("q"))
		require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
		_, err := s.Next(b.ctx, eventflow.Want{Events: 1})
		require.Error(t, err)
		require.NotErrorIs(t, err, eventflow.ErrFatal)
		stop()
		_, err = s.Next(b.ctx, eventflow.Want{Events: 1})
		var bad *eventflow.ConfigError // what the start would have said
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "1s", bad.Value)
	})
}

func TestThrottlingBacksOffAndRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{VisibilityTimeout: 10 * time.Second})
		b.publish(30)
		s := b.broker.Subscriber("q")
		var x told
		require.NoError(t, s.Start(b.ctx, x.listening()))
		ds := b.next(s, 30)
		begin, asked := time.Now(), 0
		stop := b.server.Intercept(func(sqstest.Request) sqstest.Fault {
			asked++ // under the server's lock
			return sqstest.Fault{Action: sqstest.Refuse, Code: "RequestThrottled"}
		})
		eventflow.SettleAll(ds, eventflow.Settlement{Verb: eventflow.Ack})
		time.Sleep(4 * time.Second)
		stop()
		require.Less(t, asked, 150, "in %v", time.Since(begin))
		require.Greater(t, asked, 6)
		time.Sleep(10 * time.Second)
		settled, lost := x.counts()
		require.Equal(t, 30, settled)
		require.Zero(t, lost)
		require.Equal(t, sqstest.Stats{}, b.server.Stats("q"))
	})
}

func TestRedrivePolicyMustLeaveRoomForTheAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "dead", sqstest.Queue{})
		for receives, ok := range map[int]bool{9: false, 10: true} {
			name := map[bool]string{true: "enough", false: "few"}[ok]
			require.NoError(t, b.server.CreateQueue(name, sqstest.Queue{DeadLetterQueue: "dead", MaxReceiveCount: receives}))
			err := b.broker.Subscriber(name).Start(b.ctx, eventflow.Listening{MaxAttempts: 5, Slack: 5})
			if ok {
				require.NoError(t, err)
				continue
			}
			var bad *eventflow.ConfigError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, "9", bad.Value)
			require.Contains(t, bad.Allowed, "at least 10, the runner's 5 attempts and a slack of 5")
		}
	})
}

func TestQueueWithoutAPlaceForDeadLettersIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		require.NoError(t, b.server.CreateQueue("dead", sqstest.Queue{}))
		l := eventflow.Listening{MaxAttempts: 5, Slack: 5}
		err := b.broker.Subscriber("q").Start(b.ctx, l)
		require.ErrorIs(t, err, eventflow.ErrFatal)
		require.ErrorContains(t, err, "sqs.LeavePoison")
		require.NoError(t, b.broker.Subscriber("q", sqs.LeavePoison()).Start(b.ctx, l))
		require.NoError(t, b.broker.Subscriber("q", sqs.DeadLetterQueue("dead")).Start(b.ctx, l))
		l.DeadLetters = true
		require.NoError(t, b.broker.Subscriber("q").Start(b.ctx, l))
	})
}

func TestQueueIsReachedThroughARole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, "q", sqstest.Queue{})
		const role = "arn:aws:iam::222222222222:role/reader"
		b.server.GrantRole(role, "their-id", sqstest.Rights{Actions: fourRights})
		base := sqs.New(b.server.Grant(sqstest.Rights{Actions: []string{"AssumeRole"}}).Config())
		defer func() { require.NoError(t, base.Close(t.Context())) }()
		url := b.server.QueueURL("q")

		err := base.Subscriber(url).Start(b.ctx, eventflow.Listening{})
		require.ErrorIs(t, err, eventflow.ErrFatal, "without the role")
		b.publish(1)
		s := base.Subscriber(url, sqs.AssumeRole(role, "their-id"))
		require.NoError(t, s.Start(b.ctx, eventflow.Listening{}))
		b.next(s, 1)[0].Ack()

		err = base.Subscriber(url, sqs.AssumeRole(role, "another-id")).Start(b.ctx, eventflow.Listening{})
		var access *sqs.AccessError
		require.ErrorAs(t, err, &access)
		require.Equal(t, "sts:AssumeRole", access.Action)
		require.ErrorIs(t, err, eventflow.ErrFatal)
	})
}
