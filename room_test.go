package eventflow_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/eventflow-go/eventflow"

// Whoever imports the vocabulary gets no client, no database and no test helper with it.
func TestTheRootDependsOnTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	out, err := list.Output()
	if err != nil {
		t.Skipf("go list: %v", err) // tests may run where there is no go command
	}
	allowed := map[string]bool{module: true, module + "/internal/cron": true}
	deps := strings.Fields(string(out))
	require.Contains(t, deps, module)
	for _, dep := range deps {
		require.True(t, allowed[dep], "%s is not the root's to import", dep)
	}
}

// The root is vocabulary: it starts nothing, and it asks neither the disk nor the network. What it says it returns.
func TestTheRootStartsNoGoroutineAndDoesNoIO(t *testing.T) {
	t.Parallel()
	forbidden := map[string]bool{
		"bufio": true, "io": true, "io/fs": true, "io/ioutil": true, "log": true, "net": true, "net/http": true, "os": true, "os/exec": true,
		"os/signal": true, "syscall": true, "unsafe": true, "embed": true, "database/sql": true, "plugin": true, "testing": true,
	}
	files := token.NewFileSet()
	for _, dir := range []string{".", "internal/cron"} {
		paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		parsed := 0
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			parsed++
			for _, imp := range file.Imports {
				name, err := strconv.Unquote(imp.Path.Value)
				require.NoError(t, err)
				require.False(t, forbidden[name], "%s imports %s", path, name)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%s starts a goroutine", files.Position(n.Pos()))
				case *ast.SelectorExpr: // what starts one without the keyword, or keeps time by itself
					if x, ok := n.X.(*ast.Ident); ok {
						switch call := x.Name + "." + n.Sel.Name; call {
						case "time.AfterFunc", "time.NewTimer", "time.NewTicker", "time.Tick", "time.After", "time.Sleep", "context.AfterFunc":
							t.Errorf("%s calls %s", files.Position(n.Pos()), call)
						}
					}
				case *ast.FuncDecl:
					if n.Name.Name == "init" && n.Recv == nil {
						t.Errorf("%s: an init does something on import", files.Position(n.Pos()))
					}
				}
				return true
			})
		}
		require.Positive(t, parsed, dir)
	}
}
