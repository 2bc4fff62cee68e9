package main

import (
	"bufio"
	"context"
	"io"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/stretchr/testify/require"
)

func TestItsFirstLineIsAConnectionString(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		done <- run(ctx, []string{"-queue", "q", "-session-queue", "s", "-topic", "t", "-subscription", "a/b/c", "-lock", "5s"}, w)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	client, err := azservicebus.NewClientFromConnectionString(line[:len(line)-1], nil)
	require.NoError(t, err)
	var sender *azservicebus.Sender
	for _, entity := range []string{"q", "s", "t", "a/b"} {
		sender, err = client.NewSender(entity, nil)
		require.NoError(t, err)
		session := "x"
		require.NoError(t, sender.SendMessage(ctx, &azservicebus.Message{SessionID: &session}, nil), entity)
	}
	sub, err := client.NewReceiverForSubscription("a/b", "c", nil)
	require.NoError(t, err)
	ms, err := sub.ReceiveMessages(ctx, 1, nil)
	require.NoError(t, err)
	require.Len(t, ms, 1)
	require.NoError(t, client.Close(ctx))
	stop()
	require.NoError(t, <-done)
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-subscription", "t"}, {"-addr", "0.0.0.0:1"}, {"-queue", ""}, {"-nonsense"}} {
		require.Error(t, run(t.Context(), args, io.Discard), "%v", args)
	}
}
