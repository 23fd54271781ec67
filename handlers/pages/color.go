package pages

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Colors are the five colours of the pages, each written as #1a73e8. Empty ones are
// those that ship; BrandText is then whichever of black and white reads better.
type Colors struct {
	Brand     string // of what is to be pressed
	BrandText string // on it
	Page      string // behind the card
	Card      string
	Text      string
}

// The colours that ship, as in style.css.
var (
	lightColors = Colors{Brand: "#2f5bd7", BrandText: "#ffffff", Page: "#f3f5f9", Card: "#ffffff", Text: "#171b26"}
	darkColors  = Colors{Brand: "#8fb0ff", BrandText: "#0d1530", Page: "#0f1218", Card: "#191d26", Text: "#edf0f6"}
)

// Contrasts that are held. WCAG 2.2 §1.4.3, §1.4.11; text is asked for more, since
// quieter text is made from it.
const (
	contrastText  = 10
	contrastBrand = 4.5
	contrastShape = 3
)

// rgb is a colour, each part 0 to 255.
type rgb [3]float64

func parseColor(s string) (c rgb, ok bool) {
	digits, ok := strings.CutPrefix(s, "#")
	if len(digits) == 3 {
		digits = string([]byte{digits[0], digits[0], digits[1], digits[1], digits[2], digits[2]})
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if !ok || len(digits) != 6 || err != nil {
		return c, false
	}
	return rgb{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}, true
}

func (c rgb) String() string {
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(c[0])), int(math.Round(c[1])), int(math.Round(c[2])))
}

// mix moves a colour towards another by part, 0 to 1.
func (c rgb) mix(to rgb, part float64) rgb {
	for i := range c {
		c[i] += (to[i] - c[i]) * part
	}
	return c
}

// luminance is how bright a colour is. WCAG 2.2, relative luminance
func (c rgb) luminance() float64 {
	var linear [3]float64
	for i, v := range c {
		if v /= 255; v <= 0.04045 {
			linear[i] = v / 12.92
		} else {
			linear[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*linear[0] + 0.7152*linear[1] + 0.0722*linear[2]
}

// contrast is 1 to 21. WCAG 2.2, contrast ratio
func contrast(a, b rgb) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// rebrand returns the rules that put a host's colours in the place of those that ship;
// empty when there are none. A brand colour for light pages alone is brightened for
// dark ones until it can be seen there.
func rebrand(light, dark Colors) (css string, err error) {
	if light == (Colors{}) && dark == (Colors{}) {
		return "", nil
	}
	otherwise := darkColors
	if dark.Brand == "" && light.Brand != "" {
		brand, ok := parseColor(light.Brand)
		card, ok2 := parseColor(cmp.Or(dark.Card, darkColors.Card))
		if ok && ok2 { // if not, the rules tell
			for i := 0; i < 20 && contrast(brand, card) < contrastBrand; i++ {
				brand = brand.mix(rgb{255, 255, 255}, 0.1)
			}
			otherwise.Brand, otherwise.BrandText = brand.String(), ""
		}
	}
	day, err := light.rules("Light", lightColors)
	night, err2 := dark.rules("Dark", otherwise)
	if err := errors.Join(err, err2); err != nil {
		return "", err
	}
	return "\n:root {" + day + " }\n@media (prefers-color-scheme: dark) { :root {" + night + " } }\n", nil
}

// rules checks that people can read what is written in these colours. What is empty is
// as in otherwise.
func (c Colors) rules(field string, otherwise Colors) (string, error) {
	written := map[string]bool{"Brand": c.Brand != "", "BrandText": c.BrandText != "", "Page": c.Page != "", "Card": c.Card != "", "Text": c.Text != ""}
	c = c.filled(otherwise)
	var rules strings.Builder
	var problems []error
	parsed := map[string]rgb{}
	for _, v := range []struct{ field, name, value string }{
		{"Brand", "--brand", c.Brand}, {"BrandText", "--brand-text", c.BrandText}, {"Page", "--page", c.Page}, {"Card", "--card", c.Card}, {"Text", "--text", c.Text},
	} {
		color, ok := parseColor(v.value)
		if !ok {
			problems = append(problems, &FieldError{field + "." + v.field, strconv.QuoteToASCII(v.value) + ", which is no colour", "write it as in #1a73e8"})
		}
		parsed[v.field] = color
		rules.WriteString(" " + v.name + ": " + color.String() + ";")
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	for _, pair := range []struct {
		front, shown, back, behind string
		least                      float64
	}{
		{"Text", "the text", "Card", "the card", contrastText}, {"Text", "the text", "Page", "the page", contrastText},
		{"BrandText", "the text", "Brand", "the brand colour", contrastBrand}, {"Brand", "the brand colour", "Card", "the card", contrastShape},
	} {
		front, back := parsed[pair.front], parsed[pair.back]
		is := contrast(front, back)
		if is >= pair.least {
			continue
		}
		is = math.Floor(is*10) / 10 // never shown as enough
		wrong := pair.front
		found := fmt.Sprintf("%s, which has a contrast of %.1f on %s, %s, and needs %g", front, is, pair.behind, back, pair.least)
		if !written[wrong] && written[pair.back] {
			wrong = pair.back
			found = fmt.Sprintf("%s, on which %s, %s, has a contrast of %.1f and needs %g", back, pair.shown, front, is, pair.least)
		}
		problems = append(problems, &FieldError{field + "." + wrong, found, "choose one of them lighter or darker"})
	}
	return rules.String(), errors.Join(problems...)
}

// filled has the other colours where these are empty. What stands on a brand of their own
// is black or white.
func (c Colors) filled(otherwise Colors) Colors {
	if c.BrandText == "" && c.Brand == "" {
		c.BrandText = otherwise.BrandText
	}
	c.Brand, c.Page = cmp.Or(c.Brand, otherwise.Brand), cmp.Or(c.Page, otherwise.Page)
	c.Card, c.Text = cmp.Or(c.Card, otherwise.Card), cmp.Or(c.Text, otherwise.Text)
	if c.BrandText == "" {
		c.BrandText = "#ffffff"
		if brand, _ := parseColor(c.Brand); contrast(brand, rgb{}) > contrast(brand, rgb{255, 255, 255}) {
			c.BrandText = "#000000"
		}
	}
	return c
}
