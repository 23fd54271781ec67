package pages

import (
	"strings"
	"testing"
)

// WCAG 2.2 §1.4.3, §1.4.11
func TestColors(t *testing.T) {
	for _, c := range []struct {
		name        string
		light, dark Colors
		says        string // part of the stylesheet
		wrong       string // part of the error
	}{
		{"none", Colors{}, Colors{}, "", ""},
		{"a brand", Colors{Brand: "#b3261e"}, Colors{}, "--brand: #b3261e; --brand-text: #ffffff;", ""},
		{"a bright brand gets black words", Colors{Brand: "#8a8"}, Colors{}, "--brand: #88aa88; --brand-text: #000000;", "Light.Brand: found #88aa88, which has a contrast of 2.5 on the card, #ffffff, and needs 3"},
		{"all of them", Colors{"#005f5f", "#fff", "#eef", "#fff", "#000"}, Colors{"#7fd6d6", "#000", "#000", "#111", "#fff"}, "--page: #000000; --card: #111111; --text: #ffffff;", ""},
		{"a dark brand is brightened for dark pages", Colors{Brand: "#00205b"}, Colors{}, "--brand: #7788a8; --brand-text: #000000;", ""},
		{"no colour", Colors{Brand: "red"}, Colors{}, "", `Light.Brand: found "red", which is no colour`},
		{"no colour in the dark", Colors{}, Colors{Brand: "red"}, "", `Dark.Brand: found "red", which is no colour`},
		{"words that can't be read", Colors{Brand: "#b3261e", BrandText: "#c33"}, Colors{}, "", "Light.BrandText: found #cc3333, which has a contrast of 1.2 on the brand colour, #b3261e, and needs 4.5"},
		{"quiet text", Colors{Text: "#777"}, Colors{}, "", "Light.Text: found #777777, which has a contrast of 4.4 on the card, #ffffff"},
		{"a dark one", Colors{}, Colors{Card: "#fff"}, "", "Dark.Card: found #ffffff, on which the text, #edf0f6, has a contrast of 1.1 and needs 10"},
	} {
		css, err := rebrand(c.light, c.dark)
		switch {
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: the error is %v, want one that says %q", c.name, err, c.wrong)
		case c.wrong == "" && (err != nil || !strings.Contains(css, c.says)):
			t.Errorf("%s: %q and %v, want %q", c.name, css, err, c.says)
		}
	}
}

// TestShippedColors holds the constants to the stylesheet.
func TestShippedColors(t *testing.T) {
	style, _ := open(t, nil).Asset(styleFile)
	for _, c := range []Colors{lightColors, darkColors} {
		if _, err := c.rules("Shipped", c); err != nil {
			t.Error(err)
		}
		for name, value := range map[string]string{"--brand": c.Brand, "--brand-text": c.BrandText, "--page": c.Page, "--card": c.Card, "--text": c.Text} {
			if !strings.Contains(string(style.Body), name+": "+value+";") {
				t.Errorf("style.css has no %s: %s", name, value)
			}
		}
	}
}
