module github.com/eventflow-go/eventflow/internal/cron/bench

go 1.26.5

replace github.com/eventflow-go/eventflow => ../../..

require (
	github.com/aptible/supercronic v0.2.48
	github.com/eventflow-go/eventflow v0.0.0-00010101000000-000000000000
	github.com/robfig/cron/v3 v3.0.1
)
