package settings

import "github.com/doorward/doorward/handlers/pages"

// theme is the look of the pages as it is written.
type theme struct {
	Logo  string `json:"logo"` // file
	Light colors `json:"light"`
	Dark  colors `json:"dark"`
}

type colors struct {
	Brand     string `json:"brand"`
	BrandText string `json:"brand_text"`
	Page      string `json:"page"`
	Card      string `json:"card"`
	Text      string `json:"text"`
}

// takeTheme reads the colours and the logo; package pages judges them.
func (s *Settings) takeTheme(t theme, logo string, found *Problems) {
	s.Pages.Light, s.Pages.Dark = pages.Colors(t.Light), pages.Colors(t.Dark)
	if logo == "" {
		return
	}
	const name = "theme.logo"
	body, err := readBounded(logo)
	switch {
	case err != nil:
		found.addError(s.at.line(name), name, err, "write the path of an SVG or PNG that can be read")
	case len(body) == 0:
		found.add(s.at.line(name), name, quoted(t.Logo)+", which is empty", "write the path of an SVG or PNG")
	default:
		s.Pages.Logo = body
	}
}
