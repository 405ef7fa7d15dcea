package main

var modelfiles = []struct{ name, text string }{
	{"least", "FROM llama3.2"},
	{"usual", `# A pirate
FROM llama3.2:3b
PARAMETER temperature 0.7
PARAMETER num_ctx 4096
PARAMETER stop "<|im_end|>"
PARAMETER stop <|im_start|>
PARAMETER use_mmap false
TEMPLATE """{{ if .System }}<|im_start|>system
{{ .System }}<|im_end|>
{{ end }}{{ .Prompt }}"""
SYSTEM You are a pirate.
LICENSE """
MIT

Copyright "somebody"
"""
LICENSE Apache-2.0
MESSAGE user Hello
MESSAGE assistant """Arr,
matey"""
MESSAGE system Be brief: always
`},
	{"cases", "from a\nPaRaMeTeR top_k 40\nsystem S\nTemplate T\nrenderer qwen3\nPARSER qwen3\nrequires 0.14.0\n"},
	{"order", "SYSTEM before\nPARAMETER seed 1\nFROM late\n"},
	{"two_from", "FROM a.gguf\nFROM projector.gguf\n"},
	{"last_wins", "FROM a\nSYSTEM one\nSYSTEM two\nPARAMETER seed 1\nPARAMETER seed 2\n"},
	{"blanks", "  FROM   a b  \n\n\t# comment\n\n\tSYSTEM\t\ttabs\there \t \n"},
	{"crlf", "FROM a\r\nSYSTEM \"\"\"one\r\ntwo\"\"\"\r\nPARAMETER seed 3\r\n"},
	{"cr", "FROM a\rSYSTEM b\r"},
	{"bom", "\xef\xbb\xbfFROM a\nSYSTEM ä\n"},
	{"utf16le", "\xff\xfeF\x00R\x00O\x00M\x00 \x00a\x00\n\x00S\x00Y\x00S\x00T\x00E\x00M\x00 \x00\xe4\x00\x3d\xd8\x00\xde\n\x00"},
	{"utf16be", "\xfe\xff\x00F\x00R\x00O\x00M\x00 \x00a\x00\n"},
	{"comment_in_value", "FROM a # not a comment\nSYSTEM x # y\n"},
	{"comment_at_end", "FROM a\n# last"},
	{"quotes", "FROM \"a b\"\nSYSTEM \"he said \"hi\" to me\"\nPARAMETER stop \"\"\nLICENSE \"\"\"\"\"\"\nTEMPLATE \"\"\"{{ \"x\" }}\"\"\"\n"},
	{"quotes_over_lines", "FROM a\nSYSTEM \"one\ntwo\"\nTEMPLATE \"a\" b\nc\"\n"},
	{"quotes_inside", "FROM a\nSYSTEM say \"hi\"\nMESSAGE user it's \"\"\" fine\n"},
	{"quotes_and_blanks", "FROM a\nSYSTEM \"  kept  \"\nTEMPLATE \"\"\"\n x \n\"\"\"  \nPARAMETER stop \" \"\n"},
	{"quotes_four", "FROM a\nSYSTEM \"\"\"\"a\"\"\"\"\n"},
	{"quote_open", "FROM a\nSYSTEM \"abc\nPARAMETER seed 1\n"},
	{"quote_triple_open", "FROM a\nSYSTEM \"\"\"abc\"\"\nx\n"},
	{"empty_system", "FROM a\nSYSTEM \nTEMPLATE \"\"\n"},
	{"message_colon", "FROM a\nMESSAGE user a: b: c\n"},
	{"unicode", "FROM modèle\nSYSTEM 你好 – ñ 😀\nMESSAGE user Grüße\n"},
	{"parameters", "FROM a\nPARAMETER num_keep 4\nPARAMETER seed -1\nPARAMETER num_predict +128\nPARAMETER top_k 40\nPARAMETER top_p 0.9\nPARAMETER min_p 0\nPARAMETER typical_p 1\nPARAMETER repeat_last_n 64\nPARAMETER temperature 1e-1\nPARAMETER repeat_penalty 1.1\nPARAMETER presence_penalty -.5\nPARAMETER frequency_penalty 2.\nPARAMETER num_batch 512\nPARAMETER num_gpu -1\nPARAMETER main_gpu 0\nPARAMETER use_mmap T\nPARAMETER num_thread 8\n"},
	{"bools", "FROM a\nPARAMETER use_mmap 1\nPARAMETER use_mmap False\n"},
	{"deprecated", "FROM a\nPARAMETER mirostat 1\nPARAMETER penalize_newline true\nPARAMETER low_vram x\nPARAMETER seed 1\n"},
	{"requires_v", "FROM a\nREQUIRES v0.14.0-rc.1+x.01\n"},
	{"requires_short", "FROM a\nREQUIRES 1\n"},
	{"requires_bad", "FROM a\nREQUIRES 1.02.3\n"},
	{"requires_words", "FROM a\nREQUIRES new\n"},
	{"requires_empty_pre", "FROM a\nREQUIRES 1.2.3-\n"},
	{"requires_pre_zero", "FROM a\nREQUIRES 1.2.3-01\n"},
	{"no_from", "SYSTEM x\n"},
	{"nothing", ""},
	{"only_comment", "# FROM a\n"},
	{"unknown", "FROM a\nFORM b\n"},
	{"unknown_sign", "FROM a\nSYSTEM: b\n"},
	{"from_alone", "FROM"},
	{"from_line", "FROM\nSYSTEM a\n"},
	{"parameter_alone", "FROM a\nPARAMETER"},
	{"parameter_name_only", "FROM a\nPARAMETER seed\n"},
	{"parameter_name_sign", "FROM a\nPARAMETER num-ctx 1\n"},
	{"parameter_unknown", "FROM a\nPARAMETER nonsense 1\n"},
	{"parameter_case", "FROM a\nPARAMETER Seed 1\n"},
	{"int_bad", "FROM a\nPARAMETER seed 1.5\n"},
	{"int_empty", "FROM a\nPARAMETER seed \n"},
	{"int_large", "FROM a\nPARAMETER seed 9223372036854775808\n"},
	{"int_underscore", "FROM a\nPARAMETER seed 1_000\n"},
	{"float_bad", "FROM a\nPARAMETER temperature hot\n"},
	{"float_comma", "FROM a\nPARAMETER temperature 0,5\n"},
	{"float_large", "FROM a\nPARAMETER temperature 1e39\n"},
	{"bool_bad", "FROM a\nPARAMETER use_mmap yes\n"},
	{"role_bad", "FROM a\nMESSAGE tool x\n"},
	{"role_capital", "FROM a\nMESSAGE User x\n"},
	{"message_no_text", "FROM a\nMESSAGE user\n"},
}
