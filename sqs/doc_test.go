package sqs_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/sqs"
)

// documented reads the table of the package's documentation: the reason of each feature and of each rule.
func documented(t *testing.T) (features, rules map[string]string) {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, table, found := strings.Cut(string(text), "# What SQS cannot do")
	require.True(t, found)
	features, rules = map[string]string{}, map[string]string{}
	reason := ""
	for whole := range strings.Lines(table) {
		line, ok := strings.CutPrefix(whole, "//\t")
		switch {
		case !ok:
		case strings.HasPrefix(line, " "):
			rules[strings.TrimSpace(line)] = reason
		default:
			var feature string
			feature, reason, _ = strings.Cut(strings.TrimSpace(line), " ")
			reason = strings.TrimSpace(reason)
			features[feature] = reason
		}
	}
	return features, rules
}

func TestWhatSQSCannotDoIsDocumented(t *testing.T) {
	t.Parallel()
	features, rules := documented(t)
	excused := standardExcuses()
	maps.Copy(excused, runnerStandardExcuses())
	require.Equal(t, excused, rules, "of standard queues")
	maps.DeleteFunc(rules, func(_, reason string) bool { return reason == unordered })
	require.Equal(t, excuses(), rules, "of FIFO queues")

	f := sqs.New(aws.Config{}).Features()
	require.False(t, f.Groups)
	require.False(t, f.ExactAttempt)
	require.True(t, f.Lanes && f.DeadLetter && f.MaxNack > 0 && f.MaxLock > 0 && f.MaxEvent > 0)
	for _, name := range []string{"Groups", "ExactAttempt", "Lanes", "Capacity"} {
		require.Contains(t, features, name)
	}
	require.Equal(t, unordered, features["Lanes"])
}
