package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// messagesFolder holds one file of messages a language, named by its tag.
const messagesFolder = "messages"

// phrase is a message, cut at its placeholders, in each of its plural forms.
type phrase struct {
	forms map[plural.Form][]piece
	many  bool // it has plural forms
}

// piece is words, or a placeholder.
type piece struct{ text, name string }

var forms = map[string]plural.Form{
	"zero": plural.Zero, "one": plural.One, "two": plural.Two, "few": plural.Few, "many": plural.Many, "other": plural.Other,
}

var placeholder = regexp.MustCompile(`\{([a-z_]+)\}`)

// UnmarshalJSON reads a text, or an object of texts by their plural form.
func (p *phrase) UnmarshalJSON(b []byte) error {
	p.forms = map[plural.Form][]piece{}
	texts := map[string]string{}
	if p.many = len(b) > 0 && b[0] == '{'; p.many {
		if err := json.Unmarshal(b, &texts); err != nil {
			return err
		}
	} else {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		texts["other"] = text
	}
	for name, text := range texts {
		form, ok := forms[name]
		if !ok {
			return fmt.Errorf("%q is no plural form; they are zero, one, two, few, many and other", name)
		}
		p.forms[form] = cut(text)
	}
	if p.forms[plural.Other] == nil {
		return errors.New(`the plural form "other" is missing, or empty`)
	}
	return nil
}

func cut(text string) (pieces []piece) {
	at := 0
	for _, found := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		if found[0] > at {
			pieces = append(pieces, piece{text: text[at:found[0]]})
		}
		pieces = append(pieces, piece{name: text[found[2]:found[3]]})
		at = found[1]
	}
	if at < len(text) {
		pieces = append(pieces, piece{text: text[at:]})
	}
	return pieces
}

func names(pieces []piece) (list []string) {
	for _, p := range pieces {
		if p.name != "" && !slices.Contains(list, p.name) {
			list = append(list, p.name)
		}
	}
	slices.Sort(list)
	return list
}

// fits says how a message differs from the English one. What counts, n, may be left
// out where the form itself says it: one second, two seconds.
func (p phrase) fits(english phrase, tag language.Tag) error {
	if p.many != english.many {
		return errors.New("plural forms are wanted where English has them, and nowhere else")
	}
	want := names(english.forms[plural.Other])
	for form, pieces := range p.forms {
		got := names(pieces)
		if form != plural.Other && p.many {
			got = slices.Compact(slices.Sorted(slices.Values(append(got, "n"))))
		}
		if !slices.Equal(got, want) {
			return fmt.Errorf("it has the placeholders {%s} where English has {%s}", strings.Join(got, "} {"), strings.Join(want, "} {"))
		}
	}
	if !p.many {
		return nil
	}
	for n := range 200 {
		form := plural.Cardinal.MatchPlural(tag, n, 0, 0, 0, 0)
		if _, ok := p.forms[form]; !ok {
			return fmt.Errorf("the plural form for %d is missing", n)
		}
	}
	return nil
}

// catalogue is every language there is.
type catalogue struct {
	list    []*Language // English first, which is what everybody else gets
	matcher language.Matcher
}

// openCatalogue reads the languages that ship and those of the overlay. A language
// that ships, or a variant of one, may change single messages; another one must have
// all of them.
func openCatalogue(base, overlay fs.FS) (*catalogue, error) {
	shipped, err := readMessages(base)
	if err != nil {
		return nil, err
	}
	theirs := map[language.Tag]map[string]phrase{}
	if overlay != nil {
		if theirs, err = readMessages(overlay); err != nil {
			return nil, fmt.Errorf("%w (in the overlay)", err)
		}
	}
	english := shipped[language.English]
	tags := []language.Tag{language.English}
	for _, from := range []map[language.Tag]map[string]phrase{shipped, theirs} {
		for tag := range from {
			if !slices.Contains(tags, tag) {
				tags = append(tags, tag)
			}
		}
	}
	slices.SortFunc(tags[1:], func(a, b language.Tag) int { return strings.Compare(a.String(), b.String()) })
	c := &catalogue{}
	var problems []error
	for _, tag := range tags {
		l := &Language{tag: tag, messages: map[string]phrase{}, own: map[string]bool{}, print: message.NewPrinter(tag)}
		for at := tag; ; at = at.Parent() {
			l.inherit(shipped[at], false)
			if at == language.Und {
				break
			}
		}
		for at := tag; at != language.Und; at = at.Parent() {
			l.inherit(theirs[at], true)
		}
		problems = append(problems, l.judge(english)...)
		c.list = append(c.list, l)
	}
	c.matcher = language.NewMatcher(tags)
	return c, errors.Join(problems...)
}

// inherit takes messages that are not there yet; the host's win over ours.
func (l *Language) inherit(from map[string]phrase, own bool) {
	for key, p := range from {
		if _, there := l.messages[key]; !there || own && !l.own[key] {
			l.messages[key] = p
			l.own[key] = own
		}
	}
}

// judge compares a language with English.
func (l *Language) judge(english map[string]phrase) (problems []error) {
	var missing []string
	for key, p := range english {
		mine, ok := l.messages[key]
		if !ok {
			missing = append(missing, key)
			continue
		}
		if err := mine.fits(p, l.tag); err != nil {
			problems = append(problems, fmt.Errorf("pages: message %q in %s: %w", key, l.tag, err))
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		problems = append(problems, fmt.Errorf("pages: the language %s lacks the messages %s", l.tag, strings.Join(missing, ", ")))
	}
	for key := range l.messages {
		if _, ok := english[key]; !ok && !strings.HasPrefix(key, "scope.") {
			problems = append(problems, fmt.Errorf("pages: message %q in %s: no page has a message of this name", key, l.tag))
		}
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return problems
}

func readMessages(from fs.FS) (map[language.Tag]map[string]phrase, error) {
	all := map[language.Tag]map[string]phrase{}
	entries, err := fs.ReadDir(from, messagesFolder)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pages: read the messages: %w", err)
	}
	var problems []error
	for _, e := range entries {
		name := path.Join(messagesFolder, e.Name())
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		tag, err := language.Parse(strings.TrimSuffix(e.Name(), ".json"))
		if err != nil || path.Ext(name) != ".json" {
			problems = append(problems, fmt.Errorf("pages: %s is not named by a language, as in messages/pt-BR.json", name))
			continue
		}
		text, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("pages: %w", err)
		}
		var messages map[string]phrase
		if err := json.Unmarshal(text, &messages); err != nil {
			problems = append(problems, fmt.Errorf("pages: %s: %w", name, err))
			continue
		}
		all[tag] = messages
	}
	return all, errors.Join(problems...)
}

// choose returns the language that suits a person best: what the client says of them
// first, then what their browser says.
func (c *catalogue) choose(uiLocales []string, acceptLanguage string) *Language {
	if len(uiLocales) == 0 && acceptLanguage == "" {
		return c.list[0]
	}
	var wanted []language.Tag
	for _, name := range uiLocales {
		if tag, err := language.Parse(name); err == nil {
			wanted = append(wanted, tag)
		}
	}
	accepted, _, err := language.ParseAcceptLanguage(acceptLanguage)
	if err == nil {
		wanted = append(wanted, accepted...)
	}
	_, at, confidence := c.matcher.Match(wanted...)
	if confidence == language.No {
		at = 0
	}
	return c.list[at]
}
