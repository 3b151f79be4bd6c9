package node

import (
	"strings"
	"unicode/utf8"
)

// Expand replaces $(NAME) in text by value(NAME). "$$" stands for "$", and what
// is not a reference stays (the API's rule for env, command and args).
func Expand(text string, value func(string) string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		rest := text[i+1:]
		end := strings.IndexByte(rest, ')')
		switch {
		case rest[0] == '$':
			out.WriteByte('$')
			text = rest[1:]
		case rest[0] == '(' && end > 0:
			out.WriteString(value(rest[1:end]))
			text = rest[end+1:]
		default:
			_, size := utf8.DecodeRuneInString(rest)
			out.WriteString("$" + rest[:size])
			text = rest[size:]
		}
	}
}
