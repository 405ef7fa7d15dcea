// Writes calls.json: which tag the real Ollama takes from each template of golden.json, and what it
// reads from answers: whole, and byte by byte. See ../README.md; tests/gotmpl/make runs it.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/template"
	"github.com/ollama/ollama/tools"
)

const toolList = `[
 {"type":"function","function":{"name":"get_weather","description":"The weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}},
 {"type":"function","function":{"name":"get","description":"Gets","parameters":{"type":"object","properties":{}}}},
 {"type":"function","function":{"name":"add","description":"Adds","parameters":{"type":"object","properties":{"a":{"type":"number"},"b":{"type":"number"}}}}}
]`

var tags = []string{"{", "[", "<tool_call>", "[TOOL_CALLS]", "[TOOL_CALLS] [", "<|python_tag|>", "functools["}

// TAG stands for the tag.
var answers = []string{
	``,
	`Just an answer.`,
	`TAG`,
	`Before TAG`,
	`TAG{"name": "get_weather", "arguments": {"city": "Bern"}}`,
	"TAG\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>",
	"Let me look. TAG\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Bern\"}}\n</tool_call>",
	"TAG\n{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Bern\"}}",
	"TAG{\"name\": \"add\", \"arguments\": {\"a\": 1, \"b\": 2.5}}\n{\"name\": \"get\", \"arguments\": {}}",
	"TAG{\"name\": \"add\", \"arguments\": {\"a\": 1}}</tool_call>\n<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Genf\"}}</tool_call>",
	`TAG[{"name": "add", "arguments": {"a": 1, "b": 2}}, {"name": "add", "arguments": {"a": 3, "b": 4}}]`,
	`TAGget_weather{"city": "Z\u00fcrich"}`,
	`TAGget_weather({"city": "a } b"})`,
	`TAG{"get_weather": {"city": "Bern"}}`,
	`TAG{"tool": {"deep": [{"name": "get", "arguments": {"x": [1, {"y": null}]}}]}}`,
	`TAG{"name": "get_weather", "arguments": "{\"city\": \"Bern\"}"}`,
	`TAG{"name": "unknown", "arguments": {"city": "Bern"}}`,
	`TAG{"name": "get_weather"}`,
	`TAG{"name": "get_weather", "arguments": {"city": "Bern"`,
	`TAG{"name": "get_weather", "arguments": {city: Bern}}`,
	`TAG{"name": "get_weather", "arguments": {"city": "\"quoted\" \\ {"}}`,
	`TAG{"name": "get_weather", "arguments": null}`,
	`TAG{"name": "get_weather", "arguments": [1]}`,
	`{"name": "get_weather", "arguments": {"city": "Bern"}}`,
	`[{"name": "get_weather", "arguments": {"city": "Bern"}}]`,
	`{"answer": 42}`,
	`{"answer": 42} and more`,
	`[1, 2, 3] and more`,
	`The set {1, 2} and get`,
	"  \n{\"name\": \"get\", \"arguments\": {\"k\": \"v\"}}",
	`TA`,
	`get_weather`,
	`TAG get_weather {} rest of it`,
	`TAG} } {"name": "get", "arguments": {}}`,
	`TAG{"name":"get","arguments":{}}{"name":"get_weather","arguments":{"city":"A"}}`,
}

type call struct {
	Name      string         `json:"name"`
	Arguments map[string]any `json:"arguments"`
}
type reading struct {
	Calls   []call `json:"calls"`
	Content string `json:"content"` // what Ollama gives to the user
	Left    string `json:"left"`    // what it drops
}
type answer struct {
	Tag   string  `json:"tag"`
	Text  string  `json:"text"`
	Whole reading `json:"whole"`
	Bytes reading `json:"bytes"`
}
type tagged struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Tag  string `json:"tag"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(tag, text string, list []api.Tool, step int) (r reading) {
	p := tools.NewParserWithTag(list, tag)
	r.Calls = []call{}
	for i := 0; i < len(text); i += step {
		calls, content := p.Add(text[i:min(i+step, len(text))])
		r.Content += content
		for _, c := range calls {
			r.Calls = append(r.Calls, call{c.Function.Name, c.Function.Arguments.ToMap()})
		}
	}
	rest := p.Content()
	r.Content += rest
	if rest == "" {
		r.Left = string(p.GetBuffer())
	}
	return r
}

func main() {
	var golden struct {
		Templates []struct{ Name, Text, Error string }
	}
	var out struct {
		Tools     json.RawMessage `json:"tools"`
		Templates []tagged        `json:"templates"`
		Answers   []answer        `json:"answers"`
	}
	text, err := os.ReadFile("golden.json")
	must(err)
	must(json.Unmarshal(text, &golden))
	var list []api.Tool
	must(json.Unmarshal([]byte(toolList), &list))
	out.Tools = json.RawMessage(toolList)
	for i, t := range golden.Templates {
		if t.Error != "" {
			continue
		}
		tmpl, err := template.Parse(t.Text)
		must(err)
		p := tools.NewParser(tmpl.Template, nil)
		tag := reflect.ValueOf(p).Elem().FieldByName("tag").String()
		out.Templates = append(out.Templates, tagged{golden.Templates[i].Name, t.Text, tag})
	}
	for _, t := range moreTemplates {
		tmpl, err := template.Parse(t)
		must(err)
		p := tools.NewParser(tmpl.Template, nil)
		out.Templates = append(out.Templates,
			tagged{t, t, reflect.ValueOf(p).Elem().FieldByName("tag").String()})
	}
	for _, tag := range tags {
		for _, a := range answers {
			a = strings.ReplaceAll(a, "TAG", tag)
			out.Answers = append(out.Answers,
				answer{tag, a, read(tag, a, list, len(a)+1), read(tag, a, list, 1)})
		}
	}
	e := json.NewEncoder(os.Stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	must(e.Encode(out))
}

// Forms of the Ollama library's templates in which a call is written.
var moreTemplates = []string{
	`{{ range .Messages }}{{ if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if eq .Role "assistant" }}{{ if .Content }}{{ .Content }}{{ else if .ToolCalls }}[TOOL_CALLS] [{{ range .ToolCalls }}{"name": "{{ .Function.Name }}"}{{ end }}]{{ end }}{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ with .ToolCalls }}never{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if .ToolCalls }}{{ range .ToolCalls }}{"name": "{{ .Function.Name }}"}{{ end }}{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if and .Content .ToolCalls }}  {{ range .ToolCalls }} {{ if .Function }}<|python_tag|>{{ .Function.Name }}{{ end }}{{ end }}{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if .ToolCalls }}{{ .Content }}<late>{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if (and .ToolCalls) }}<inner>{{ else if .ToolCalls }}<outer>{{ end }}{{ end }}`,
	`{{ range $m := .Messages }}{{ if $m.ToolCalls }}<var>{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ else }}{{ if $.ToolCalls }}<dollar>{{ end }}{{ if .X.ToolCalls }}<deep>{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if .ToolCalls }}{{ if .Content }}{{ end }}<after>{{ end }}{{ end }}`,
	`{{ range .Messages }}{{ if .ToolCalls }}{{ $x := 1 }}<declared>{{ end }}{{ end }}`,
}
