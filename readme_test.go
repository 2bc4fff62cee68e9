package eventflow_test

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/eventflow-go/eventflow"
	"github.com/eventflow-go/eventflow/broker"
	"github.com/eventflow-go/eventflow/runner"
)

// readmeFree are the names that the README's fragments take from their surroundings. All others are the first
// program's, or their own.
const readmeFree = `ctx context.Context, mem *broker.Memory, r *runner.FlowRunner, delivery *eventflow.Delivery, ev eventflow.Event, nominal, from time.Time, lisbon, newYork *time.Location`

// A ```go block of the README that begins with "package" is a file as it stands; any other is a fragment. A fragment's
// leading declarations of types are put beside the program, and what follows them into a function whose parameters are
// readmeFree and that uses what it declares. All together are a module of a user's own that requires this one.
func TestReadmeBuildsAndItsTestPasses(t *testing.T) {
	t.Parallel()
	dir := userModule(t)
	files, tests := 0, 0
	for i, code := range readmeBlocks(t, "go") {
		name := fmt.Sprintf("fragment%d.go", i)
		switch {
		case !strings.HasPrefix(code, "package "):
			code = wrapFragment(t, i, code)
		case strings.Contains(code, "func Test"):
			name = fmt.Sprintf("block%d_test.go", i)
			tests++
		default:
			name = fmt.Sprintf("block%d.go", i)
			files++
		}
		formatted, err := format.Source([]byte(code))
		require.NoError(t, err, "%s", code)
		if strings.HasPrefix(name, "block") {
			require.Equal(t, string(formatted), code, "a block of the README is not formatted")
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(code), 0o600))
	}
	require.Equal(t, 1, files, "programs in the README")
	require.Positive(t, tests, "tests in the README")

	goCommand(t, dir, "vet", ".")
	out := goCommand(t, dir, "test", "-count=1", "-v", ".")
	require.Contains(t, out, "--- PASS: TestThumbnail")
	goCommand(t, dir, "build", "-o", "program", ".")
	runProgram(t, filepath.Join(dir, "program"))
}

// runProgram sees the README's program at work, and end well when it is interrupted.
func runProgram(t *testing.T, path string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // it has no interrupts to send
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	first := make([]byte, len("rendering cat.jpg\n"))
	_, err = io.ReadFull(stdout, first)
	require.NoError(t, err)
	require.Equal(t, "rendering cat.jpg\n", string(first))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(stdout)
	require.NoError(t, err)
	require.Empty(t, string(rest))
	require.NoError(t, cmd.Wait())
}

// What a command of the README needs is there. A command that this test does not know fails it, so that none goes
// unchecked.
func TestReadmeCommandsExist(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, block := range append(readmeBlocks(t, "sh"), fenced(t, "CONTRIBUTING.md", "sh")...) {
		for line := range strings.Lines(block) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			commands++
			checkCommand(t, line)
		}
	}
	require.GreaterOrEqual(t, commands, 3)
}

func checkCommand(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line)
	last := words[len(words)-1]
	switch {
	case strings.HasPrefix(line, "go run ./"):
		require.Equal(t, "main\n", goCommand(t, ".", "list", "-f", "{{.Name}}", last), "%s", line)
	case strings.HasPrefix(line, "go test "):
		require.NotEmpty(t, goCommand(t, ".", "list", last), "%s", line)
	case line == "bash .ci/run", strings.HasPrefix(line, "bash .ci/long "):
		script, err := os.ReadFile(words[1])
		require.NoError(t, err)
		if len(words) > 2 {
			require.Contains(t, string(script), "run_"+words[2]+"()", "%s", line)
		}
	case strings.HasPrefix(line, "scripts/with-servers "):
		_, err := os.Stat("scripts/servers/" + words[1] + ".sh")
		require.NoError(t, err, "%s", line)
		checkCommand(t, line[strings.Index(line, " -- ")+4:])
	case strings.HasPrefix(line, ".cache/bin/golangci-lint "):
		script, err := os.ReadFile(".ci/run")
		require.NoError(t, err)
		require.Contains(t, string(script), words[0], "%s", line)
	default:
		require.Fail(t, "a command that nothing checks", line)
	}
}

// The README's and the runner's defaults are those that a runner tells.
func TestDocumentedDefaultsAreInForce(t *testing.T) {
	t.Parallel()
	thumbnail := eventflow.NewSink("thumbnail", func(context.Context, string) error { return nil })
	zone, err := time.LoadLocation("Europe/Lisbon")
	require.NoError(t, err)
	r, err := runner.New(thumbnail, runner.On(broker.NewMemory().Subscriber("uploads")), runner.At(eventflow.Cron("0 3 * * *", zone)))
	require.NoError(t, err)
	require.Contains(t, readmeBlocks(t, "text"), r.String())

	doc, err := os.ReadFile("runner/doc.go")
	require.NoError(t, err)
	for line := range strings.Lines(r.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if slices.Contains([]string{"flow", "On", "At", "PublishTo", "DeadLetterTo", "Store"}, name) {
			continue
		}
		row := regexp.MustCompile(`(?m)^//\t` + regexp.QuoteMeta(name) + ` +` + regexp.QuoteMeta(strings.TrimSpace(value)) + `(  .*)?$`)
		require.Regexp(t, row, string(doc))
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

func TestLinksLeadToFiles(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range link.FindAllSubmatch(text, -1) {
			if to := string(m[1]); !strings.Contains(to, "://") {
				_, err := os.Stat(filepath.FromSlash(to))
				require.NoError(t, err, "link in %s", file)
			}
		}
	}
}

func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	return fenced(t, "README.md", language)
}

// fenced gives the blocks of a language in a Markdown file.
func fenced(t *testing.T, file, language string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var blocks []string
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?\n)```$").FindAllSubmatch(text, -1) {
		if string(m[1]) == language {
			blocks = append(blocks, string(m[2]))
		}
	}
	require.NotEmpty(t, blocks, "no %s block in %s", language, file)
	return blocks
}

// userModule makes a module that requires this one, with the versions of this one's own requirements.
func userModule(t *testing.T) string {
	t.Helper()
	root, err := os.Getwd()
	require.NoError(t, err)
	dir := t.TempDir()
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	own := strings.TrimSpace(strings.TrimPrefix(strings.SplitN(string(mod), "\n", 2)[0], "module"))
	user := strings.Replace(string(mod), "module "+own, "module example.com/user", 1) +
		fmt.Sprintf("\nrequire %s v0.0.0\nreplace %[1]s => %s\n", own, root)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(user), 0o600))
	sum, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
	return dir
}

// goCommand runs the go command without a network and gives what it prints.
func goCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOPROXY=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "go %s: %s%s", strings.Join(args, " "), out, stderr.String())
	return string(out)
}

const eventflowPath = "github.com/eventflow-go/eventflow"

// wrapFragment makes a file of a fragment.
func wrapFragment(t *testing.T, n int, code string) string {
	t.Helper()
	types, statements := "", code
	if i := strings.Index(code, "\n}\n"); strings.HasPrefix(code, "type ") && i >= 0 {
		types, statements = code[:i+3], code[i+3:]
	}
	head := "package main\n\n" + types + "\nfunc fragment" + string(rune('A'+n)) + "(" + readmeFree + ") {\n"
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, "fragment.go", head+statements+"}\n", 0)
	require.NoError(t, err, "%s", code)
	body := parsed.Decls[len(parsed.Decls)-1].(*ast.FuncDecl).Body

	var uses strings.Builder
	for _, s := range body.List {
		if a, ok := s.(*ast.AssignStmt); ok && a.Tok == token.DEFINE {
			for _, lhs := range a.Lhs {
				fmt.Fprintf(&uses, "_ = %s\n", lhs.(*ast.Ident).Name)
			}
		}
	}
	var imports strings.Builder
	whole := head + statements + uses.String() + "}\n"
	for _, path := range []string{
		"context", "crypto/tls", "fmt", "log", "os", "time", "github.com/aws/aws-sdk-go-v2/config", eventflowPath, eventflowPath + "/broker",
		eventflowPath + "/kafka", eventflowPath + "/runner", eventflowPath + "/servicebus", eventflowPath + "/sqs", eventflowPath + "/store/sqlite",
	} {
		if strings.Contains(whole, path[strings.LastIndex(path, "/")+1:]+".") {
			fmt.Fprintf(&imports, "import %q\n", path)
		}
	}
	return strings.Replace(whole, "package main\n", "package main\n\n"+imports.String(), 1)
}
