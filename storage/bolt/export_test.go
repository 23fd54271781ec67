package bolt

import "context"

// OpenUnwalked opens as OpenWith opens a large file: without looking at every page.
func OpenUnwalked(path string, o Options) (*Backend, error) {
	return opening{Options: o}.open(context.Background(), path)
}
