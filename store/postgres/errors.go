package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/puddle/v2"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/store"
)

// named gives those errors their names that a program may want to tell apart. Those of the driver name host, user and
// database, never the password.
func named(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		return fmt.Errorf("%w: the pool was closed", eventflow.ErrClosed)
	}
	switch codeOf(err) {
	case "53100":
		return fmt.Errorf("%w: %w", store.ErrDiskFull, err)
	case "25006":
		return fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	return err
}

// final reports whether an error of opening is one that waiting does not mend: a wrong password, a database or a right
// that is missing, a certificate.
func final(err error) bool {
	code := codeOf(err)
	if strings.HasPrefix(code, "28") || code == "3D000" || code == "42501" {
		return true
	}
	text := err.Error()
	return code == "" && (strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ") || strings.Contains(text, "server refused TLS"))
}
