package pages_test

import (
	"fmt"
	"testing/fstest"

	"github.com/doorward/doorward/handlers/pages"
)

// Only the colours change; words that could not be read are refused at start.
func ExampleColors() {
	_, err := pages.New(pages.Config{Name: "Example", Light: pages.Colors{Brand: "#b3261e"}})
	fmt.Println(err)
	_, err = pages.New(pages.Config{Name: "Example", Light: pages.Colors{Brand: "#b3261e", BrandText: "#cc3333"}})
	fmt.Println(err)
	// Output:
	// <nil>
	// pages: Light.BrandText: found #cc3333, which has a contrast of 1.2 on the brand colour, #b3261e, and needs 4.5; choose one of them lighter or darker
}

// One page is replaced. A page that asks for what does not exist is found at start.
func ExampleNew() {
	page := `{{define "title"}}{{.Text "signedout.title"}}{{end}}
{{define "content"}}<h1>{{.T "signedout.heading"}}</h1><p>See you soon, {{.Page.Account}}.</p>{{end}}`
	_, err := pages.New(pages.Config{Name: "Example", Overlay: fstest.MapFS{"signedout.html": {Data: []byte(page)}}})
	fmt.Println(err != nil)
	// Output: true
}
