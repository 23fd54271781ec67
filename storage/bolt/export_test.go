package bolt

// OpenUnwalked opens as OpenWith opens a large file: without looking at every page.
func OpenUnwalked(path string, o Options) (*Backend, error) { return open(path, o, 0) }
