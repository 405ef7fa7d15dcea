package main

// Templates of our own, built as those of the Ollama library are: each form and feature that
// occurs there occurs here.
var chatTemplates = []chatTemplate{
	{Name: "prompt", Text: `{{ .Prompt }}`},
	{Name: "empty", Text: ``},
	{Name: "plain", Text: `Just text`},
	{Name: "old_inst", Text: `[INST] {{ if .System }}{{ .System }}

{{ end }}{{ .Prompt }}[/INST] `},
	{Name: "old_inst_response", Text: `[INST] {{ if .System }}{{ .System }}

{{ end }}{{ .Prompt }}[/INST] {{ .Response }}</s>`},
	{Name: "old_chatml", Text: `{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ if .Prompt }}<|im_start|>user
{{ .Prompt }}<|im_end|>
{{ end }}<|im_start|>assistant
{{ .Response }}<|im_end|>
`},
	{Name: "old_if_response", Text: `{{ .Prompt }}|{{ if .Response }}A: {{ .Response }}<end>{{ end }}!{{ .Prompt }}`},
	{Name: "old_first", Text: "{{- if .First }}### System:\n{{ .System }}\n{{- end }}\n### User:\n{{ .Prompt }}\n\n### Response:\n"},
	{Name: "old_pipe", Text: `{{ .Prompt | printf "%s" }} {{ printf "%s|%s" .Response .Prompt }} tail`},
	{Name: "old_parens", Text: `{{ .Prompt }}{{ print (print "<" .Response ">") }}{{ .System }}tail`},
	{Name: "old_dollar", Text: `{{ $.System }}{{ .Prompt }}{{ $.Response }}<eos>`},
	{Name: "old_with", Text: `{{ with .System }}S:{{ . }} {{ end }}{{ with .Prompt }}P:{{ . }}{{ else }}no prompt{{ end }} R:{{ .Response }}.`},
	{Name: "old_think", Text: `{{ if .System }}{{ .System }}{{ end }}{{ .Prompt }}{{ if and .IsThinkSet (not .Think) }}<no>{{ else if .ThinkLevel }}<{{ .ThinkLevel }}>{{ end }}{{ .Response }}`},
	{Name: "old_tools", Text: `{{ if .Tools }}never {{ .Tools }}{{ end }}{{ .Prompt }} {{ .Suffix }}`},
	{Name: "old_missing", Text: `{{ .Missing }} {{ .Prompt }}`},
	{Name: "old_json_before", Text: `{{ json .Prompt }}{{ .Response }}`},
	{Name: "old_json_after", Text: `{{ .Response }}{{ json .Prompt }}`},
	{Name: "old_else", Text: `{{ if .System }}{{ .System }}{{ else }}none{{ end }}{{ if .Prompt }}{{ .Prompt }}{{ end }}{{ .Response }}{{ if .System }}late{{ end }}`},
	{Name: "old_cut_else", Text: `{{ .Prompt }}{{ if .Prompt }}{{ .Response }}{{ else }}lost{{ end }} tail`},
	{Name: "suffix", Text: `{{- if .Suffix }}<|fim_prefix|>{{ .Prompt }}<|fim_suffix|>{{ .Suffix }}<|fim_middle|>
{{- else }}{{ .System }} {{ .Prompt }}
{{- end }}`},
	{Name: "suffix_messages", Text: `{{- if .Suffix }}<PRE> {{ .Prompt }} <SUF>{{ .Suffix }} <MID>
{{- else if .Messages }}
{{- range .Messages }}[{{ .Role }}] {{ .Content }}
{{ end }}
{{- else }}{{ .Prompt }}{{ end }}`},
	{Name: "both", Text: `{{- if .Messages }}
{{- range $i, $m := .Messages }}<{{ $i }}:{{ $m.Role }}>{{ $m.Content }}
{{ end }}assistant:
{{- else }}{{ .System }}{{ .Prompt }}{{ end }}{{ .Response }}
{{- if .Response }}<|eot|>{{ end }}`},
	{Name: "last", Text: `{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 }}
{{- if or (eq .Role "user") (eq .Role "system") }}<|start|>{{ .Role }}
{{ .Content }}<|end|>
{{ else if eq .Role "assistant" }}<|start|>model
{{ .Content }}{{ if not $last }}<|end|>
{{ end }}
{{- end }}
{{- if and (ne .Role "assistant") $last }}<|start|>model
{{ end }}
{{- end }}`},
	{Name: "tools_json", Text: `{{- if or .System .Tools }}<|im_start|>system
{{- if .System }}
{{ .System }}
{{- end }}
{{- if .Tools }}

# Tools
<tools>
{{- range .Tools }}
{"type": "function", "function": {{ json .Function }}}
{{- end }}
</tools>
{{- end }}<|im_end|>
{{ end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}<|im_start|>user
{{ .Content }}<|im_end|>
{{ else if eq .Role "assistant" }}<|im_start|>assistant
{{ if .Content }}{{ .Content }}
{{- else if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
{{ end }}</tool_call>
{{- end }}{{ if not $last }}<|im_end|>
{{ end }}
{{- else if eq .Role "tool" }}<|im_start|>user
<tool_response>
{{ .Content }}
</tool_response><|im_end|>
{{ end }}
{{- if and (ne .Role "assistant") $last }}<|im_start|>assistant
{{ end }}
{{- end }}`},
	{Name: "tools_function", ToolsAs: "v0.13.5", Text: `{{- range .Messages }}{{ .Role }};{{ end }}
{{- range .Tools }}
{"type": "function", "function": {{ .Function }}}
{{- end }}`},
	{Name: "tools_dot", ToolsAs: "v0.13.5", Text: `{{- range $.Messages }}{{ end }}{{ range $.Tools }}
{{- . }}
{{ end }}`},
	{Name: "tools_parameters", ToolsAs: "v0.13.5", Text: `{{ range .Messages }}{{ end }}{{ range .Tools }}{{ .Function.Name }}: {{ .Function.Parameters }}
{{ end }}`},
	{Name: "tools_whole", Text: `{{ range .Messages }}{{ .Content }}{{ end }}|{{ .Tools }}|{{ json .Tools }}|{{ $.Tools | json }}|{{ len .Tools }}`},
	{Name: "tools_parts", Text: `{{ range .Messages }}{{ end }}{{ range $t := .Tools }}{{ .Type }} {{ .Items }} {{ .Function.Name }}: {{ .Function.Description }}
{{ .Function.Parameters.Type }} {{ .Function.Parameters.Required }} {{ .Function.Parameters.Defs }} {{ .Function.Parameters.Items }}
{{ .Function.Parameters.Properties }}
{{ json .Function.Parameters.Properties }}
{{ with .Function.Parameters.Properties }}some{{ else }}none{{ end }}
{{ range $name, $p := .Function.Parameters.Properties }}- {{ $name }} ({{ $p.Type }}) [{{ len $p.Type }}] {{ $p.Description }} {{ $p.Enum }} {{ $p.Items }}{{ if $p.Enum }} one of{{ range $p.Enum }} {{ . }}{{ end }}{{ end }}
{{ end }}{{ end }}`},
	{Name: "typescript", Text: `{{ range .Messages }}{{ end }}{{ currentDate }} {{ range .Tools }}// {{ .Function.Description }}
type {{ .Function.Name }} = (_: {
{{- range $name, $prop := .Function.Parameters.Properties }}
{{- if $prop.Description }}
// {{ $prop.Description }}
{{- end }}
{{ $name }}: {{ if gt (len $prop.Type) 1 }}{{ range $i, $t := $prop.Type }}{{ if $i }} | {{ end }}{{ $t }}{{ end }}{{ else }}{{ $prop | toTypeScriptType }}{{ end }}, {{ toTypeScriptType $prop }} {{ $prop.ToTypeScriptType }}
{{- end }}
}) => any;
{{ end }}{{ toTypeScriptType .Think }}`},
	{Name: "calls", Text: `{{ range .Messages }}{{ if .ToolCalls }}{{ .Role }}{{ range $i, $c := .ToolCalls }}
{{ $i }} {{ .ID }}/{{ $c.Function.Index }}/{{ .Function.Name }}({{ .Function.Arguments }}) {{ json .Function.Arguments }} {{ len .Function.Arguments }}{{ if .Function.Arguments }} has{{ end }}
{{- range $k, $v := .Function.Arguments }} {{ $k }}={{ $v }};{{ end }}
{{ json . }} {{ json .Function }} {{ .Function }} {{ . }} {{ printf "%s %v" .Function.Name .Function.Arguments }}
{{- end }}{{ end }}{{ if eq .Role "tool" }}{{ .ToolName }}#{{ .ToolCallID }}: {{ .Content }}
{{ end }}{{ end }}`},
	{Name: "message_json", Text: `{{ range .Messages }}{{ json . }}
{{ json .Content }} {{ json .Role }} {{ .Content | json }}
{{ end }}{{ json .System }} {{ json .Think }} {{ json .ThinkLevel }}`},
	{Name: "message_print", Text: `{{ range .Messages }}{{ if not .Images }}{{ . }}|{{ print . }}|{{ printf "%q" .Content }}|{{ len .Content }}{{ end }}
{{ end }}`},
	{Name: "think", Text: `{{- range $i, $_ := .Messages }}
{{- if eq .Role "user" }}<｜User｜>{{ .Content }}
{{- else if eq .Role "assistant" }}<｜Assistant｜>
{{- if and $.IsThinkSet (and $.Think .Thinking) }}<think>
{{ .Thinking }}
</think>
{{- end }}{{ .Content }}<｜end▁of▁sentence｜>
{{- end }}
{{- if and (eq (len (slice $.Messages $i)) 1) (ne .Role "assistant") }}<｜Assistant｜>
{{- if and $.IsThinkSet (not $.Think) }}<think>

</think>

{{ end }}
{{- end }}
{{- end }}`},
	{Name: "think_last_user", Text: `{{- $lastUserIdx := -1 -}}
{{- range $idx, $msg := .Messages -}}
{{- if eq $msg.Role "user" }}{{ $lastUserIdx = $idx }}{{ end -}}
{{- end }}
{{- range $i, $_ := .Messages }}
{{- $last := eq (len (slice $.Messages $i)) 1 -}}
{{- if eq .Role "user" }}U {{ .Content }}
{{- if and $.IsThinkSet (eq $i $lastUserIdx) }}
   {{- if $.Think -}}
      {{- " " }}/think
   {{- else -}}
      {{- " " }}/no_think
   {{- end -}}
{{- end }}
{{ else if eq .Role "assistant" }}A
{{ if (and $.IsThinkSet (and .Thinking (or $last (gt $i $lastUserIdx)))) -}}
<think>{{ .Thinking }}</think>
{{ end -}}
{{ if .Content }}{{ .Content }}{{ end }}
{{- if .ToolCalls }}{{ range .ToolCalls }}[{{ .Function.Name }}]{{ end }}{{ end }}
{{ end }}
{{- if and (ne .Role "assistant") $last }}A
{{ if and $.IsThinkSet (not $.Think) -}}
<think>

</think>

{{ end -}}
{{ end }}
{{- end }}`},
	{Name: "level", Text: `<|start|>system Reasoning: {{ if .ThinkLevel }}{{ .ThinkLevel }}{{ else if or (not .IsThinkSet) .Think }}medium{{ else }}low{{ end }}
{{- range .Messages }}{{ if .Thinking }}<a>{{ .Thinking }}</a>{{ end }}{{ .Content }}{{ end }}`},
	{Name: "images", Text: `{{ range .Messages }}{{ if .Images }}{{ range $i, $_ := .Images }}[image {{ $i }}]{{ end }}{{ len .Images }} {{ json .Images }}{{ end }}{{ .Content }}{{ end }}`},
	{Name: "system_once", Text: `{{- $system := "" }}{{- range .Messages }}
{{- if eq .Role "system" }}{{ if not $system }}{{ $system = .Content }}{{ else }}{{ $system = printf "%s\n\n%s" $system .Content }}{{ end }}{{ continue }}
{{- else if eq .Role "user" }}<u>{{ if $system }}{{ $system }} {{ $system = "" }}{{ end }}{{ .Content }}</u>{{ break }}
{{- end }}{{ else }}nobody{{ end }}`},
	{Name: "named", Text: `{{ define "m" }}<{{ .Role }}>{{ template "c" .Content }}{{ end }}{{ define "c" }}[{{ . }}]{{ end }}
{{- range .Messages }}{{ template "m" . }}{{ end }}{{ block "end" .System }} end of {{ . }}{{ end }}`},
	{Name: "index", Text: `{{ if .Messages }}{{ (index .Messages 0).Role }} {{ with index .Messages 0 }}{{ .Content }}{{ end }} {{ $m := index .Messages 0 }}{{ $m.Content }}{{ end }}{{ .Response }}`},
	{Name: "index_far", Text: `{{ range .Messages }}{{ end }}{{ (index .Messages 1).Role }}`},
	{Name: "not_a_field", Text: `{{ range .Messages }}{{ .Nothing }}{{ end }}`},
	{Name: "not_defined", Text: `{{ range .Messages }}{{ template "gone" . }}{{ end }}`},
	{Name: "not_closed", Text: `{{ range .Messages }}`},
	{Name: "no_value_for_template", Text: `{{ define "x" }}{{ end }}{{ template "x" }}`},
	{Name: "bad_compare", Text: `{{ range .Messages }}{{ if eq .Content 1 }}{{ end }}{{ end }}`},
	{Name: "missing_field", Text: `{{ range .Messages }}{{ end }}{{ .A }}|{{ $.A }}|{{ if .A }}{{ else }}no{{ end }}`},
	{Name: "missing_deep", Text: `{{ range .Messages }}{{ end }}{{ .A.B }}`},
	{Name: "missing_deep_old", Text: `{{ .Prompt }}{{ .A.B }}{{ .Response }}`},
	{Name: "markup", Text: `{{- range .Messages }}{{ if eq .Role "tool" }}{{ print "<|tool|>" .Content }}{{ else }}{{ printf "<|%s|>%s" .Role .Content }}{{ end }}{{ "<|end|>" }}{{ end }}`},
}

var renderings = []struct{ name, text, data string }{
	{"text", "a {b} }} c\n", `{}`},
	{"trim_left", "a \n\t {{- .A }} b", `{"A":"x"}`},
	{"trim_right", "a {{ .A -}} \n b", `{"A":"x"}`},
	{"trim_both", "a  {{- .A -}}  b {{- /* c */ -}} d", `{"A":"x"}`},
	{"minus_is_a_number", "{{-3}} {{- -3 -}} .", `{}`},
	{"comment", "a{{/* b {{ c }} */}}d {{- /* x\n*/}} e", `{}`},
	{"comment_with_blank", "{{ /* x */ }}", `{}`},
	{"comment_open", "a\n{{/* x }}", `{}`},
	{"comment_more", "{{/* x */ y}}", `{}`},
	{"strings", "{{ \"q \\\" \\\\ \\n \\t \\x41 \\101 \\u00e4 \\U0001F600\" }}{{ `raw \\n \"` }}", `{}`},
	{"string_escape_bad", `{{ "\q" }}`, `{}`},
	{"string_quote_bad", `{{ "\'" }}`, `{}`},
	{"string_open", "{{ \"a\nb\" }}", `{}`},
	{"runes", `{{ 'a' }} {{ '\n' }} {{ 'ä' }} {{ '\'' }} {{ '\u00e4' }} {{ '\\' }}`, `{}`},
	{"rune_two", `{{ 'ab' }}`, `{}`},
	{"rune_none", `{{ '' }}`, `{}`},
	{"integers", `{{ 0 }} {{ 42 }} {{ -7 }} {{ +5 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 017 }} {{ 1_000 }} {{ 9223372036854775807 }} {{ -9223372036854775808 }}`, `{}`},
	{"integer_too_large", `{{ 9223372036854775808 }}`, `{}`},
	{"integer_bad", `{{ 08 }}`, `{}`},
	{"integer_underscore", `{{ 1__0 }}`, `{}`},
	{"number_and_letter", `{{ 1a }}`, `{}`},
	{"floats", `{{ 1.5 }} {{ -0.25 }} {{ .5 }} {{ 1e3 }} {{ 1e6 }} {{ 1e20 }} {{ 1e21 }} {{ 123456.0 }} {{ 1234567.0 }} {{ 1e-4 }} {{ 1e-5 }} {{ 3.0 }} {{ 0.1 }} {{ 1e100 }} {{ 2.5E-10 }}`, `{}`},
	{"data_numbers", `{{ range .N }}{{ . }} {{ json . }};{{ end }}`, `{"N":[0,1,-1,1.5,100000,1000000,123456789,1e20,1e21,1e22,0.0001,0.00001,0.000001,0.0000001,9007199254740993,3.141592653589793,-0.0,1e300]}`},
	{"bools_and_nil", `{{ true }} {{ false }} {{ .Nil }} {{ .T }} {{ .F }}`, `{"Nil":null,"T":true,"F":false}`},
	{"nil_command", `{{ nil }}`, `{}`},
	{"nil_argument", `{{ print nil }} {{ eq .A nil }} {{ eq nil nil }} {{ if not nil }}x{{ end }} {{ json nil }}`, `{"A":null}`},
	{"nil_field", `{{ nil.A }}`, `{}`},
	{"dot", `{{ . }} {{ .A }} {{ $ }} {{ $.A }}`, `{"A":1,"B":"b"}`},
	{"dot_is_text", `{{ . }}{{ len . }}`, `"text"`},
	{"fields", `{{ .A.B.C }} {{ $.A.B.C }} {{ $x := .A }}{{ $x.B.C }} {{ (.A).B.C }} {{ (.A.B).C }}`, `{"A":{"B":{"C":"deep"}}}`},
	{"field_of_text", `{{ .A.B }}`, `{"A":"x"}`},
	{"field_of_list", `{{ .A.B }}`, `{"A":[]}`},
	{"field_of_nil", `{{ .A.B }}`, `{"A":null}`},
	{"field_of_none", `{{ (print .A).B }}`, `{}`},
	{"field_missing", `{{ .X }}|{{ .A.X }}|{{ print .X }}|{{ printf "%v %s" .X .X }}|{{ json .X }}`, `{"A":{}}`},
	{"field_with_argument", `{{ .A 1 }}`, `{"A":1}`},
	{"field_piped", `{{ 1 | .A }}`, `{"A":1}`},
	{"variables", `{{ $a := 1 }}{{ $b := "x" }}{{ $a }}{{ $b }}{{ $a = 2 }}{{ $a }}{{ if true }}{{ $a = 3 }}{{ $b := "y" }}{{ $b }}{{ end }}{{ $a }}{{ $b }}`, `{}`},
	{"variable_undefined", `{{ $x }}`, `{}`},
	{"variable_out_of_scope", `{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}`, `{}`},
	{"variable_assigned_only", `{{ $x = 1 }}`, `{}`},
	{"variable_in_if", `{{ if $x := .A }}{{ $x }}{{ else }}{{ $x }}no{{ end }}{{ with $y := .B }}{{ $y }}{{ . }}{{ end }}`, `{"A":0,"B":"b"}`},
	{"variable_comma", `{{ $a, $b := 1 }}`, `{}`},
	{"declare_in_parens", `{{ ($x := 1) }}{{ $x }}`, `{}`},
	{"pipelines", `{{ .A | printf "%s-%s" "x" }} {{ "a" | len }} {{ .A | print | len | printf "%03d" }}`, `{"A":"abc"}`},
	{"pipe_into_constant", `{{ .A | "x" }}`, `{"A":1}`},
	{"pipe_into_parens", `{{ 1 | (print) }}`, `{}`},
	{"pipe_ends", `{{ .A | }}`, `{"A":1}`},
	{"empty_action", `{{ }}`, `{}`},
	{"empty_parens", `{{ () }}`, `{}`},
	{"parens_open", `{{ (.A }}`, `{}`},
	{"parens_close", `{{ .A) }}`, `{}`},
	{"two_operands", `{{ "a" "b" }}`, `{}`},
	{"character", `{{ .A % }}`, `{}`},
	{"name_and_sign", `{{ .A+1 }}`, `{}`},
	{"if_else", `{{ range .L }}{{ if . }}T{{ else }}F{{ end }}{{ end }}`, `{"L":[0,1,"","x",[],[1],{},{"a":1},true,false,null,0.0,-1]}`},
	{"else_if", `{{ range .L }}{{ if eq . "a" }}1{{ else if eq . "b" }}2{{ else if eq . "c" }}3{{ else }}4{{ end }}{{ end }}`, `{"L":["a","b","c","d"]}`},
	{"else_twice", `{{ if .A }}a{{ else }}b{{ else }}c{{ end }}`, `{}`},
	{"else_alone", `{{ else }}`, `{}`},
	{"end_alone", `{{ end }}`, `{}`},
	{"end_missing", `{{ if .A }}x`, `{}`},
	{"if_without_value", `{{ if }}x{{ end }}`, `{}`},
	{"with_else", `{{ with .A }}{{ .B }}{{ else }}none{{ end }}{{ with .C }}{{ . }}{{ else with .D }}d{{ . }}{{ else }}none{{ end }}`, `{"A":{"B":"b"},"D":"D"}`},
	{"range_list", `{{ range .L }}<{{ . }}>{{ end }}{{ range $i, $e := .L }}{{ $i }}{{ $e }}{{ end }}{{ range $e := .L }}{{ $e }}{{ $.X }}{{ end }}`, `{"L":["a","b"],"X":"x"}`},
	{"range_map", `{{ range $k, $v := .M }}{{ $k }}={{ $v }} {{ end }}{{ range .M }}{{ . }}{{ end }}`, `{"M":{"b":2,"a":1,"C":3,"aa":[1,"x"],"ä":{}}}`},
	{"range_else", `{{ range .L }}x{{ else }}{{ .X }}{{ end }}{{ range .N }}x{{ else }}nil{{ end }}{{ range $i, $e := .L }}{{ else }}{{ $i }}{{ $e }}{{ end }}`, `{"L":[],"N":null,"X":"else"}`},
	{"range_number", `{{ range 3 }}{{ . }}{{ end }}{{ range $i := 2 }}{{ $i }}{{ end }}{{ range 0 }}{{ else }}none{{ end }}`, `{}`},
	{"range_number_two", `{{ range $i, $j := 3 }}{{ end }}`, `{}`},
	{"range_float", `{{ range .N }}{{ . }}{{ end }}`, `{"N":3}`},
	{"range_text", `{{ range "abc" }}{{ . }}{{ end }}`, `{}`},
	{"range_assign", `{{ $x := "s" }}{{ $i := 9 }}{{ range $x = .L }}{{ $x }}{{ end }}{{ $x }}{{ range $i, $x = .L }}{{ $i }}{{ end }}{{ $i }}{{ $x }}`, `{"L":["a","b"]}`},
	{"range_three", `{{ range $a, $b, $c := .L }}{{ end }}`, `{}`},
	{"range_bad_init", `{{ range $a, 1 := .L }}{{ end }}`, `{}`},
	{"break_continue", `{{ range .L }}{{ if eq . 2.0 }}{{ continue }}{{ end }}{{ if eq . 4.0 }}{{ break }}{{ end }}{{ . }}{{ range $.L }}{{ break }}{{ end }},{{ end }}`, `{"L":[1,2,3,4,5]}`},
	{"break_outside", `{{ break }}`, `{}`},
	{"continue_in_else", `{{ range .L }}{{ else }}{{ continue }}{{ end }}`, `{"L":[]}`},
	{"break_in_define", `{{ range .L }}{{ block "x" . }}{{ break }}{{ end }}{{ end }}`, `{}`},
	{"templates", `{{ define "a" }}A{{ . }}{{ template "b" .X }}{{ end }}{{ define "b" }}B{{ . }}{{ $ }}{{ end }}{{ template "a" . }}{{ block "c" .X }}C{{ . }}{{ end }}{{ template "c" "again" }}`, `{"X":"x"}`},
	{"template_raw_name", "{{ define `r` }}R{{ end }}{{ template `r` . }}", `{}`},
	{"template_redefined", `{{ define "a" }}1{{ end }}{{ define "a" }}2{{ end }}`, `{}`},
	{"template_blank_first", `{{ define "a" }} {{ end }}{{ define "a" }}2{{ end }}{{ template "a" . }}`, `{}`},
	{"template_no_name", `{{ template .A . }}`, `{}`},
	{"template_variables", `{{ $x := 1 }}{{ define "a" }}{{ $x }}{{ end }}`, `{}`},
	{"template_recursion", `{{ define "a" }}{{ if .N }}{{ .V }}{{ template "a" .N }}{{ end }}{{ end }}{{ template "a" . }}`, `{"V":1,"N":{"V":2,"N":{"V":3,"N":{}}}}`},
	{"define_inside", `{{ if true }}{{ define "x" }}{{ end }}{{ end }}`, `{}`},
	{"and_or", `{{ and 1 0 2 }} {{ and 1 "x" }} {{ or 0 "" "y" }} {{ or 0 "" }} {{ and .A }} {{ or .A .B }} {{ .A | or 0 }} {{ 1 | and 1 }}`, `{"A":"a","B":"b"}`},
	{"and_or_short", `{{ and false (index .L 9) }} {{ or true (index .L 9) }}`, `{"L":[]}`},
	{"and_or_not_short", `{{ and true (index .L 9) }}`, `{"L":[]}`},
	{"and_nothing", `{{ and }}`, `{}`},
	{"not", `{{ not 1 }} {{ not "" }} {{ not .X }} {{ not (not .A) }}`, `{"A":[0]}`},
	{"not_two", `{{ not 1 2 }}`, `{}`},
	{"eq", `{{ eq 1 1 }} {{ eq 1 2 3 1 }} {{ eq "a" "a" }} {{ eq .N 1.0 }} {{ eq true .T }} {{ ne 1 2 }} {{ ne "a" "a" }} {{ eq .X nil }} {{ eq .X 1 }} {{ eq 'a' 97 }}`, `{"N":1,"T":true}`},
	{"eq_float_int", `{{ eq .N 1 }}`, `{"N":1}`},
	{"eq_text_int", `{{ eq "1" 1 }}`, `{}`},
	{"eq_lists", `{{ eq .L .L }}`, `{"L":[1]}`},
	{"eq_list_nil", `{{ eq .L nil }} {{ ne .L nil }}`, `{"L":[1]}`},
	{"eq_one", `{{ eq 1 }}`, `{}`},
	{"order", `{{ lt 1 2 }} {{ le 2 2 }} {{ gt 1 2 }} {{ ge 2 2 }} {{ lt "a" "b" }} {{ gt "ab" "a" }} {{ lt 1.5 2.5 }} {{ ge .N 2.0 }} {{ le "B" "a" }}`, `{"N":2}`},
	{"order_bools", `{{ lt true false }}`, `{}`},
	{"order_mixed", `{{ lt 1 1.5 }}`, `{}`},
	{"order_nil", `{{ lt .X 1 }}`, `{}`},
	{"len", `{{ len "abc" }} {{ len "ä" }} {{ len .L }} {{ len .M }} {{ len "" }}`, `{"L":[1,2],"M":{"a":1}}`},
	{"len_number", `{{ len 3 }}`, `{}`},
	{"len_nil", `{{ len .X }}`, `{}`},
	{"index", `{{ index .L 0 }} {{ index .L 1 0 }} {{ index .M "a" }} {{ index .M "none" }} {{ index .M "b" "c" }} {{ index "abc" 1 }} {{ index .L }} {{ (index .L 2).x }}`, `{"L":["x",["y"],{"x":"in"}],"M":{"a":1,"b":{"c":"d"}}}`},
	{"index_out", `{{ index .L 2 }}`, `{"L":[1,2]}`},
	{"index_negative", `{{ index .L -1 }}`, `{"L":[1,2]}`},
	{"index_float", `{{ index .L .I }}`, `{"L":[1,2],"I":1}`},
	{"index_text", `{{ index .L "a" }}`, `{"L":[1,2]}`},
	{"index_nil", `{{ index .X 1 }}`, `{}`},
	{"index_map_number", `{{ index .M 1 }}`, `{"M":{}}`},
	{"slice", `{{ slice "abcdef" 1 3 }} {{ slice "abc" }} {{ slice "abc" 2 }} {{ slice .L 1 }} {{ slice .L 0 1 }} {{ slice .L 1 2 3 }} {{ len (slice .L 3) }} {{ slice (slice .L 1) 1 }}`, `{"L":[1,2,3]}`},
	{"slice_out", `{{ slice .L 1 9 }}`, `{"L":[1,2,3]}`},
	{"slice_backwards", `{{ slice "abc" 2 1 }}`, `{}`},
	{"slice_map", `{{ slice .M 1 }}`, `{"M":{}}`},
	{"slice_text_three", `{{ slice "abc" 0 1 2 }}`, `{}`},
	{"print", `{{ print "a" "b" 1 2 "c" }}|{{ print 1 2 }}|{{ print }}|{{ println "a" 1 }}|{{ println }}|{{ print .L .M .X true 1.0 }}`, `{"L":[1,"a",null,[true]],"M":{"b":[],"a":{"x":null}}}`},
	{"printf", `{{ printf "%s|%v|%d|%q|%t|%5d|%-5d|%05d|%x|%%|%5s|%-5s|%.2s|%.2f|%f|%e|%g|%6.2f|%+d" "s" "v" 1 "q\n" true 42 42 42 255 "ab" "ab" "äbc" 1.005 1.5 1234.5 0.1 3.14159 7 }}`, `{}`},
	{"printf_wrong", `{{ printf "%d" "x" }}|{{ printf "%s" 1 }}|{{ printf "%s" .N }}|{{ printf "%d" .N }}|{{ printf "%t" 1 }}|{{ printf "%z" 1 }}|{{ printf "%s" true }}|{{ printf "%d" .L }}|{{ printf "%s" nil }}`, `{"N":1.5,"L":["a",2]}`},
	{"printf_counts", `{{ printf "%s %s" "a" }}|{{ printf "%s" "a" "b" 1 nil }}|{{ printf "a%" }}|{{ printf "" 1.5 }}|{{ printf "%!" }}`, `{}`},
	{"printf_containers", `{{ printf "%s %v %q" .L .L .L }} {{ printf "%s %v" .M .M }}`, `{"L":["a","b"],"M":{"k":"v","a":["x"]}}`},
	{"printf_format_number", `{{ printf 1 }}`, `{}`},
	{"printf_nothing", `{{ printf }}`, `{}`},
	{"quote", `{{ printf "%q" .S }}`, `{"S":"a\"\\\n\t\u0001\u007f\u0085\u00a0ä日😀\u200d\u2028\ue000"}`},
	{"json", `{{ json .V }}|{{ json "a<b>&'\"" }}|{{ json 1 }}|{{ json 1.50 }}|{{ json true }}|{{ .V | json }}|{{ json . }}`, `{"V":{"b":[1,2.5,"x",null,{}],"a":"\u2028\u2029<>&\u0001\b\f\n\r\t\u007f/é","c":[]}}`},
	{"json_none", `{{ json }}`, `{}`},
	{"json_two", `{{ json 1 2 }}`, `{}`},
	{"typescript", `{{ toTypeScriptType .A }} {{ toTypeScriptType "string" }} {{ toTypeScriptType nil }}`, `{"A":{"type":"string"}}`},
	{"dates", `{{ currentDate }} {{ yesterdayDate }} {{ currentDate "02.01.2006" }} {{ currentDate | len }}`, `{}`},
	{"date_number", `{{ currentDate 1 }}`, `{}`},
	{"function_unknown", `{{ lower .A }}`, `{}`},
	{"function_alone", `{{ print.A }}`, `{}`},
	{"keyword_as_name", `{{ print if }}`, `{}`},
	{"nested_quotes", "{{ print `a` (print `b` (print `c`)) }}", `{}`},
	{"many_spaces", "{{   .A   |   print   }}{{\n.A\n}}{{\t.A\t-}}\n x", `{"A":"a"}`},
	{"delimiters_in_strings", `{{ "}}" }}{{ "{{" }}`, `{}`},
	{"action_open", `a {{ .A`, `{}`},
	{"crlf", "a\r\n{{- .A -}}\r\nb\r\n{{ .A }}\r\n", `{"A":"x"}`},
	{"deep_nesting", `{{ if 1 }}{{ if 1 }}{{ if 1 }}{{ if 1 }}{{ range .L }}{{ with . }}{{ . }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}`, `{"L":[[[1]]]}`},
	{"response_appended", `{{ .Prompt }}`, `{"Prompt":"p","Response":"r"}`},
}
