// Package bench times eventflow's cron clock beside those of robfig/cron and supercronic. It is a module of its own, so
// that eventflow depends on neither:
//
//	cd internal/cron/bench && go test -run '^TestRatios$' -ratios -v
//	cd internal/cron/bench && go test -bench .
package bench
