package postgres_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/eventflow-go/eventflow/internal/sqlstore/sqltest"
)

func TestMain(m *testing.M) {
	if sqltest.Scene(openAt) || sqltest.Worker(openAt) || sqltest.Replica(openAt) {
		return
	}
	goleak.VerifyTestMain(m)
}

var schemas atomic.Int64

// server gives the URL of a PostgreSQL, or skips; where servers are required it fails.
func server(t testing.TB) string {
	t.Helper()
	at := os.Getenv("EVENTFLOW_POSTGRES")
	if at == "" {
		if strings.Contains(" "+os.Getenv("EVENTFLOW_REQUIRE_SERVERS")+" ", " postgres ") || os.Getenv("EVENTFLOW_REQUIRE_SERVERS") == "1" {
			t.Fatal("EVENTFLOW_POSTGRES is not set, and EVENTFLOW_REQUIRE_SERVERS asks for PostgreSQL")
		}
		t.Skip("EVENTFLOW_POSTGRES is not set: scripts/with-servers postgres -- go test ./store/postgres")
	}
	return at
}

// schema gives the name of a schema that is dropped after the test.
func schema(t interface {
	Helper()
	Cleanup(func())
	Errorf(string, ...any)
}, at string,
) string {
	t.Helper()
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), schemas.Add(1))
	t.Cleanup(func() {
		if err := execute(at, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS "+name+" CASCADE"); err != nil {
			t.Errorf("dropping the schema: %v", err)
		}
	})
	return name
}

func execute(at, query string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it was only for this
	_, err = conn.PgConn().Exec(ctx, query).ReadAll()
	return err
}
