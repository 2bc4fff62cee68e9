// Package docs has no code: what its pages say is checked here.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow/runner/runnertest"
)

// packages are the directories of the packages that the page names tests of.
var packages = map[string]string{
	"eventflow": "..", "broker": "../broker", "runner": "../runner", "runnertest": "../runner/runnertest", "sim": "../internal/sim",
	"kafka": "../kafka", "sqs": "../sqs", "servicebus": "../servicebus", "sqlite": "../store/sqlite", "postgres": "../store/postgres",
}

// row is one of the page's tables.
type row struct {
	section string
	cells   []string
}

var (
	heading = regexp.MustCompile(`^## (.+)$`)
	name    = regexp.MustCompile("^`([a-z]+)\\.([A-Z]\\w+)`$")
)

// page gives the rows of the page's tables, without the tables' heads.
func page(t *testing.T) (rows []row) {
	t.Helper()
	text, err := os.ReadFile("promises.md")
	require.NoError(t, err)
	section, head := "", false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if m := heading.FindStringSubmatch(line); m != nil {
			section = m[1]
		}
		if !strings.HasPrefix(line, "|") {
			head = true
			continue
		}
		if strings.HasPrefix(line, "|---") {
			head = false
			continue
		}
		if head {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, row{section, cells})
	}
	return rows
}

// tests gives the names of a package's tests: functions that go test runs as they are, for no build constraint or call of
// Skip keeps them from it.
func tests(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	paths, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		require.NoError(t, err)
		if slices.ContainsFunc(file.Comments, func(c *ast.CommentGroup) bool {
			return c.Pos() < file.Package && strings.HasPrefix(c.List[0].Text, "//go:build")
		}) {
			continue
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && !skips(f) {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}

// skips reports whether a test begins by skipping itself.
func skips(f *ast.FuncDecl) bool {
	for _, s := range f.Body.List {
		call, ok := s.(*ast.ExprStmt)
		if !ok {
			continue
		}
		if c, ok := call.X.(*ast.CallExpr); ok {
			if sel, ok := c.Fun.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Skip") {
				return true
			}
		}
	}
	return false
}

func TestEachPromiseHasRowsAndEachRowATestThatRuns(t *testing.T) {
	t.Parallel()
	known := map[string]map[string]bool{}
	for pkg, dir := range packages {
		known[pkg] = tests(t, dir)
		require.NotEmpty(t, known[pkg], pkg)
	}
	rules := map[string]bool{}
	for _, r := range runnertest.Rules() {
		rules[r] = true
	}
	promises, shown := map[string]int{}, map[string]bool{}
	for _, r := range page(t) {
		if r.section == "Where the suite runs" {
			continue
		}
		require.Len(t, r.cells, 3, "%v", r)
		number, _, _ := strings.Cut(r.section, ".")
		promises[number]++
		require.NotEmpty(t, r.cells[0])
		m := name.FindStringSubmatch(r.cells[1])
		require.NotNil(t, m, "%q names no test", r.cells[1])
		if isTest := strings.HasPrefix(m[2], "Test"); m[1] == "runnertest" && !isTest {
			require.True(t, rules[m[2]], "%s is no rule of the suite", m[2])
			require.Equal(t, "suite", r.cells[2], m[2])
			shown[m[2]] = true
			continue
		}
		require.True(t, known[m[1]][m[2]], "%s.%s is no test that runs", m[1], m[2])
		for on := range strings.SplitSeq(r.cells[2], ", ") {
			require.Contains(t, []string{"memory", "none", "kafka", "sqs", "servicebus", "sqlite", "postgres"}, on, m[2])
		}
	}
	require.Len(t, promises, 10)
	for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"} {
		require.GreaterOrEqual(t, promises[n], 3, "promise %s", n)
	}
	var missing []string
	for _, r := range runnertest.Rules() {
		if !shown[r] {
			missing = append(missing, r)
		}
	}
	require.Empty(t, missing, "rules of the suite that the page does not have")
}

// The packages that run the suite are those whose tests say so, and no others are named.
func TestThePageNamesExactlyTheBrokersThatRunTheSuite(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for _, r := range page(t) {
		if r.section != "Where the suite runs" {
			continue
		}
		require.Len(t, r.cells, 3)
		m := name.FindStringSubmatch(r.cells[2])
		require.NotNil(t, m, "%q names no test", r.cells[2])
		named[m[1]+"."+m[2]] = true
		if m[1] == "runnertest" { // it brings the memory broker's harness along
			m[1] = "memory"
		}
		broker, _, _ := strings.Cut(r.cells[0], ",") // what follows is its mode
		require.Contains(t, []string{broker, r.cells[1]}, m[1], "a broker or store is named as its package")
	}
	require.Equal(t, running(t), named)
}

// running gives the tests that call runnertest.Run; of the suite's own those of the memory broker, not those that plant
// faults.
func running(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata"):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := strings.TrimSuffix(file.Name.Name, "_test")
		if pkg == "runnertest" && d.Name() != "memory_test.go" {
			return nil
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			for _, s := range f.Body.List {
				if runs(s, pkg == "runnertest") {
					found[pkg+"."+f.Name.Name] = true
				}
			}
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

// runs reports whether a statement of a test's body is a call of the suite's Run.
func runs(s ast.Stmt, own bool) bool {
	expr, ok := s.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := expr.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return own && fun.Name == "Run"
	case *ast.SelectorExpr:
		x, ok := fun.X.(*ast.Ident)
		return ok && x.Name == "runnertest" && fun.Sel.Name == "Run"
	}
	return false
}
