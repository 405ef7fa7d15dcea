// Writes golden.json: what the real Ollama packages make of the templates, conversations and
// Modelfiles here. See README.md; tests/gotmpl/make runs it.
//
//	main            everything, with Ollama 0.17.4
//	main FILE       the same file, with the entries that say "tools_as" made anew by this Ollama
package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ollama/ollama/parser"
	"github.com/ollama/ollama/template"
	"github.com/ollama/ollama/thinking"
)

const olderModule = "github.com/ollama/ollama@v0.6.5"
const olderSum = "h1:vXKkVX57ql/1ZzMw4SVK866Qfd6pjwEcITVyEpF0QXQ="

type result struct {
	Out   *string `json:"out,omitempty"`
	Error string  `json:"error,omitempty"`
}

type conversation struct {
	Messages   json.RawMessage `json:"messages,omitempty"`
	Tools      json.RawMessage `json:"tools,omitempty"`
	Prompt     string          `json:"prompt,omitempty"`
	Suffix     string          `json:"suffix,omitempty"`
	Think      bool            `json:"think,omitempty"`
	ThinkSet   bool            `json:"think_set,omitempty"`
	ThinkLevel string          `json:"think_level,omitempty"`
}

type chatTemplate struct {
	Name    string            `json:"name"`
	Origin  string            `json:"origin,omitempty"`
	Text    string            `json:"text"`
	ToolsAs string            `json:"tools_as,omitempty"`
	Error   string            `json:"error,omitempty"`
	Vars    []string          `json:"vars,omitempty"`
	Think   []string          `json:"think,omitempty"`
	Chats   map[string]result `json:"chats,omitempty"`
}

type rendering struct {
	Name     string          `json:"name"`
	Template string          `json:"template"`
	Data     json.RawMessage `json:"data"`
	result
}

type modelfile struct {
	Name     string          `json:"name"`
	Text     string          `json:"text,omitempty"`
	Hex      string          `json:"hex,omitempty"` // instead of a text that is not UTF-8
	Commands [][2]string     `json:"commands,omitempty"`
	Printed  string          `json:"printed,omitempty"`
	Params   json.RawMessage `json:"params,omitempty"`
	Error    string          `json:"error,omitempty"`
}

type golden struct {
	Ollama        string                  `json:"ollama"`
	Go            string                  `json:"go"`
	Today         string                  `json:"today"`
	Conversations map[string]conversation `json:"conversations"`
	Templates     []*chatTemplate         `json:"templates"`
	Renderings    []rendering             `json:"renderings"`
	Modelfiles    []modelfile             `json:"modelfiles"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func done(out string, err error) result {
	if err != nil {
		return result{Error: err.Error()}
	}
	return result{Out: &out}
}

// guarded turns a panic of Ollama's into an error.
func guarded(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return fn()
}

func chat(t *template.Template, c conversation) result {
	var v template.Values
	if c.Messages != nil {
		must(json.Unmarshal(c.Messages, &v.Messages))
	}
	if c.Tools != nil {
		must(json.Unmarshal(c.Tools, &v.Tools))
	}
	v.Prompt, v.Suffix = c.Prompt, c.Suffix
	v.Think, v.ThinkLevel, v.IsThinkSet = c.Think, c.ThinkLevel, c.ThinkSet
	var b bytes.Buffer
	err := guarded(func() error { return t.Execute(&b, v) })
	return done(b.String(), err)
}

func (t *chatTemplate) run(all map[string]conversation) {
	t.Chats, t.Error, t.Vars, t.Think = nil, "", nil, nil
	tmpl, err := template.Parse(t.Text)
	if err != nil {
		t.Error = err.Error()
		return
	}
	t.Vars, err = tmpl.Vars()
	must(err)
	open, closing := thinking.InferTags(tmpl.Template)
	t.Think = []string{open, closing}
	t.Chats = map[string]result{}
	for name, c := range all {
		if t.ToolsAs != "" && (name == "ordered_tools" || name == "no_arguments") {
			continue // 0.13 forgets the order, and prints null
		}
		t.Chats[name] = chat(tmpl, c)
	}
}

func render(text, data string) result {
	var v any
	must(json.Unmarshal([]byte(data), &v))
	tmpl, err := template.Parse(text)
	if err != nil {
		return done("", err)
	}
	var b bytes.Buffer
	err = guarded(func() error { return tmpl.Template.Execute(&b, v) })
	return done(b.String(), err)
}

func readModelfile(name, text string) modelfile {
	m := modelfile{Name: name, Text: text}
	if !utf8.ValidString(text) {
		m.Text, m.Hex = "", hex.EncodeToString([]byte(text))
	}
	f, err := parser.ParseFile(strings.NewReader(text))
	if err != nil {
		m.Error = err.Error()
		return m
	}
	for _, c := range f.Commands {
		m.Commands = append(m.Commands, [2]string{c.Name, c.Args})
	}
	m.Printed = f.String()
	req, err := f.CreateRequest("/nowhere")
	if err != nil {
		m.Error = err.Error()
		return m
	}
	m.Params, err = json.Marshal(req.Parameters)
	must(err)
	return m
}

func moduleDir(module, sum string) string {
	out, err := exec.Command("go", "mod", "download", "-json", module).Output()
	must(err)
	var m struct{ Dir, Sum string }
	must(json.Unmarshal(out, &m))
	if sum != "" && m.Sum != sum {
		must(fmt.Errorf("%s has the sum %s, not %s", module, m.Sum, sum))
	}
	return m.Dir
}

func fromFolder(dir, below, origin string) (list []*chatTemplate) {
	files, err := filepath.Glob(filepath.Join(dir, below, "*.gotmpl"))
	must(err)
	sort.Strings(files)
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(err)
		name := filepath.Base(f)
		// Those print tools as structures in 0.14 to 0.17.
		old := ""
		if name == "llama3-groq-tool-use.gotmpl" || name == "nemotron.gotmpl" {
			old = "v0.13.5"
		}
		list = append(list, &chatTemplate{Name: name, Origin: origin + "/" + below,
			Text: strings.ReplaceAll(string(text), "\r\n", "\n"), ToolsAs: old})
	}
	return list
}

func version() string {
	info, _ := debug.ReadBuildInfo()
	for _, d := range info.Deps {
		if d.Path == "github.com/ollama/ollama" {
			return d.Version
		}
	}
	return "?"
}

func everything() *golden {
	g := &golden{Ollama: version(), Go: runtime.Version(), Today: time.Now().Format("2006-01-02"),
		Conversations: map[string]conversation{}}
	for name, text := range conversations {
		var c conversation
		must(json.Unmarshal([]byte(text), &c))
		g.Conversations[name] = c
	}
	newest := "github.com/ollama/ollama@" + version()
	g.Templates = append(fromFolder(moduleDir(newest, ""), "template", newest),
		fromFolder(moduleDir(olderModule, olderSum), "server/testdata/tools", olderModule)...)
	for _, t := range chatTemplates {
		g.Templates = append(g.Templates, &t)
	}
	for _, t := range g.Templates {
		t.run(g.Conversations)
	}
	for _, r := range renderings {
		g.Renderings = append(g.Renderings,
			rendering{r.name, r.text, json.RawMessage(r.data), render(r.text, r.data)})
	}
	for _, m := range modelfiles {
		g.Modelfiles = append(g.Modelfiles, readModelfile(m.name, m.text))
	}
	return g
}

func main() {
	var g *golden
	out := os.Stdout
	os.Stdout = os.Stderr // Ollama prints warnings there
	if len(os.Args) > 1 {
		text, err := os.ReadFile(os.Args[1])
		must(err)
		must(json.Unmarshal(text, &g))
		for _, t := range g.Templates {
			if t.ToolsAs == version() {
				t.run(g.Conversations)
			}
		}
	} else {
		g = everything()
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	must(e.Encode(g))
}
