package pages

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"golang.org/x/text/number"
)

// Language is one language of the pages, with its messages. It is safe for
// concurrent use.
type Language struct {
	tag      language.Tag
	messages map[string]phrase
	own      map[string]bool // keys that the host wrote itself
	print    *message.Printer
}

// Tag is the language as the lang attribute and Content-Language say it. RFC 5646
func (l *Language) Tag() string { return l.tag.String() }

// rightToLeft are the scripts that are written from right to left.
var rightToLeft = []string{"Adlm", "Arab", "Aran", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa"}

// Dir is the direction in which the language is written: ltr or rtl.
func (l *Language) Dir() string {
	if script, _ := l.tag.Script(); slices.Contains(rightToLeft, script.String()) {
		return "rtl"
	}
	return "ltr"
}

// Say returns a message as text. args are pairs of a placeholder's name and its
// value; an int chooses the plural form. A key that does not exist is returned as it
// is, which New has ruled out for the pages.
func (l *Language) Say(key string, args ...any) string {
	text, err := l.say(key, args, l.isolated)
	if err != nil {
		return key
	}
	return text
}

// Scope returns the words for a scope: those of the host in this language, else what
// Config.Scopes says, else those that ship for the scopes of OpenID Connect Core
// §5.4, else its name.
func (l *Language) Scope(name, description string) string {
	key := "scope." + name
	if _, shipped := l.messages[key]; l.own[key] || description == "" && shipped {
		return l.Say(key)
	}
	if description != "" {
		return description
	}
	return name
}

// Claim returns the words for a claim that is asked for by itself: those of the host,
// else those that ship for the claims of OpenID Connect Core §5.1, else its name in a
// sentence.
func (l *Language) Claim(name string) string {
	if key := "claim." + name; name != "other" && l.has(key) {
		return l.Say(key)
	}
	return l.Say("claim.other", "name", name)
}

func (l *Language) has(key string) bool { _, ok := l.messages[key]; return ok }

// strong is a value that a page sets in bold.
type strong string

// say fills the placeholders of a message, each by what show makes of its value.
func (l *Language) say(key string, args []any, show func(any) string) (string, error) {
	p, ok := l.messages[key]
	if !ok {
		return "", fmt.Errorf("there is no message %q", key)
	}
	if len(args)%2 != 0 {
		return "", fmt.Errorf("message %q: the arguments are not pairs of name and value", key)
	}
	values, n := map[string]any{}, 0
	for i := 0; i < len(args); i += 2 {
		name, _ := args[i].(string)
		values[name] = args[i+1]
		if count, ok := args[i+1].(int); ok {
			n, values[name] = count, l.print.Sprint(number.Decimal(count))
		}
	}
	text, ok := p.forms[plural.Cardinal.MatchPlural(l.tag, n%10_000_000, 0, 0, 0, 0)]
	if !ok {
		text = p.forms[plural.Other]
	}
	var out strings.Builder
	for _, piece := range text {
		if piece.name == "" {
			out.WriteString(show(literal(piece.text)))
			continue
		}
		v, ok := values[piece.name]
		if !ok {
			return "", fmt.Errorf("message %q: there is no value for {%s}", key, piece.name)
		}
		out.WriteString(show(v))
	}
	return out.String(), nil
}

// literal is what a message says itself.
type literal string

// isolated keeps a value from turning the direction of the words around it, where
// there is no markup that does. Unicode Standard Annex #9 §2.4
func (l *Language) isolated(v any) string {
	text := fmt.Sprint(v)
	if !l.turns(v, text) {
		return text
	}
	return "\u2068" + text + "\u2069"
}

// markup is isolated for HTML.
func (l *Language) markup(v any) string {
	if m, ok := v.(moment); ok {
		return timeMarkup(m)
	}
	plain := fmt.Sprint(v)
	text := template.HTMLEscapeString(plain)
	if l.turns(v, plain) {
		text = "<bdi>" + text + "</bdi>"
	}
	if _, ok := v.(strong); ok {
		text = "<strong>" + text + "</strong>"
	}
	return text
}

// turns says whether a value may be written in another direction than its message.
func (l *Language) turns(v any, text string) bool {
	if _, ours := v.(literal); ours {
		return false
	}
	return l.Dir() == "rtl" || strings.ContainsFunc(text, func(r rune) bool {
		return r >= 0x590 && r <= 0x8ff || r >= 0xfb1d && r <= 0xfefc
	})
}
