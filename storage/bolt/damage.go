package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
)

// The parts of bbolt's file format that inspect reads. bbolt trusts them: it maps
// the file and follows what it finds, in part in goroutines of its own, where a
// fault would end the process.
const (
	pageHeader    = 16 // id 8, flags 2, count 2, overflow 4
	elementSize   = 16 // branch: pos 4, ksize 4, page 8; leaf: flags 4, pos 4, ksize 4, vsize 4
	bucketHeader  = 16 // root page 8, sequence 8
	metaSize      = 64
	metaChecksum  = 56
	pageIDSize    = 8
	longFreelist  = 0xffff // count that says: the first entry is the count
	smallestPage  = 1 << 10
	largestPage   = 16 << 20
	maxDepth      = 64
	firstDataPage = 2

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	elementBucket = 0x01 // a leaf element that is a bucket

	notListed = ^uint64(0) // in place of the freelist page: the free pages are not listed
)

// walkLimit is the size up to which every page is looked at before opening.
// Opening a larger file whose free pages are listed looks at its ends only, or a start
// would take as long as reading all of it; damage is then found by the call that
// meets it. Without the list bbolt reads every page itself.
const walkLimit = 32 << 20

// metaPage is one of the two pages that say where everything else is.
type metaPage struct {
	pageSize uint64
	root     uint64
	freelist uint64
	pages    uint64 // the first page that was never used
	txid     uint64
}

// inspector looks at a file without trusting it.
type inspector struct {
	file io.ReaderAt
	size uint64
	meta metaPage
	seen []uint64     // bitmap of pages
	stop func() error // asked before each page; nil: never
}

// verdict is what inspect has to say about a sound file.
type verdict struct {
	listed bool // the free pages are listed
	torn   bool // one of the meta pages was not written to the end
}

// inspect says what is wrong with a file, in the words that follow its name. A file
// with more contents than limit is not walked if its free pages are listed.
func inspect(file io.ReaderAt, size int64, limit uint64) (verdict, error) {
	in := inspector{file: file, size: uint64(size)}
	if size == 0 {
		return verdict{}, errors.New("is empty")
	}
	torn, err := in.readMeta()
	if err != nil {
		return verdict{}, err
	}
	f, err := in.contents(limit)
	f.torn = torn
	return f, err
}

// contents looks at what the meta page leads to.
func (in *inspector) contents(limit uint64) (verdict, error) {
	f := verdict{listed: in.meta.freelist != notListed}
	if need := in.meta.pages * in.meta.pageSize; in.size < need {
		return f, fmt.Errorf("is cut off: it has %d bytes, its contents take %d", in.size, need)
	}
	in.seen = make([]uint64, in.meta.pages/64+1)
	whole := !f.listed || in.meta.pages*in.meta.pageSize <= limit
	if whole {
		if err := in.walk(in.meta.root, 0); err != nil {
			return f, fmt.Errorf("is damaged: %w", err)
		}
	}
	if f.listed {
		if err := in.readFreelist(); err != nil {
			return f, fmt.Errorf("is damaged: %w", err)
		}
	}
	return f, nil
}

// readMeta takes the newer of the two meta pages, as bbolt does. A page whose
// checksum alone is wrong was being written when the power failed: nothing that it
// says was ever acknowledged, and the other one counts. A page that is no meta page
// at all was overwritten, and then it may have been the newer one.
func (in *inspector) readMeta() (torn bool, err error) {
	first, firstErr := in.metaAt(0)
	second, secondErr := metaPage{}, errNoMeta
	if firstErr == nil {
		second, secondErr = in.metaAt(first.pageSize)
	} else {
		for at := uint64(smallestPage); at <= largestPage && at < in.size; at <<= 1 {
			found, err := in.metaAt(at)
			if err == nil && found.pageSize == at {
				second, secondErr = found, nil
				break
			}
		}
	}
	switch {
	case firstErr == nil && secondErr == nil:
		if first.pageSize != second.pageSize {
			return false, errors.New("is damaged: its two meta pages contradict each other")
		}
		in.meta = first
		if second.txid > first.txid {
			in.meta = second
		}
	case firstErr == nil && errors.Is(secondErr, errTorn):
		in.meta, torn = first, true
	case secondErr == nil && errors.Is(firstErr, errTorn):
		in.meta, torn = second, true
	case firstErr == nil:
		return false, errors.New("is damaged: its second meta page was overwritten")
	case secondErr == nil:
		return false, errors.New("is damaged: its first meta page was overwritten")
	case errors.Is(firstErr, errTorn):
		return false, errors.New("is damaged: both of its meta pages are")
	default:
		return false, errors.New("is not a bbolt database")
	}
	m := &in.meta
	if m.root < firstDataPage || m.root >= m.pages || m.pages > 1<<48/m.pageSize ||
		m.freelist != notListed && (m.freelist < firstDataPage || m.freelist >= m.pages) {
		return false, errors.New("is damaged: its meta page makes no sense")
	}
	return torn, nil
}

var (
	errNoMeta = errors.New("not a meta page")
	errTorn   = errors.New("a meta page with a wrong checksum")
)

func (in *inspector) metaAt(at uint64) (metaPage, error) {
	var page [pageHeader + metaSize]byte
	if _, err := in.file.ReadAt(page[:], int64(at)); err != nil {
		return metaPage{}, errNoMeta
	}
	b := page[pageHeader:]
	m := metaPage{
		pageSize: uint64(binary.NativeEndian.Uint32(b[8:])),
		root:     binary.NativeEndian.Uint64(b[16:]),
		freelist: binary.NativeEndian.Uint64(b[32:]),
		pages:    binary.NativeEndian.Uint64(b[40:]),
		txid:     binary.NativeEndian.Uint64(b[48:]),
	}
	if binary.NativeEndian.Uint32(b) != boltMagic || binary.NativeEndian.Uint32(b[4:]) != boltVersion ||
		m.pageSize < smallestPage || m.pageSize > largestPage || bits.OnesCount64(m.pageSize) != 1 {
		return metaPage{}, errNoMeta
	}
	sum := fnv.New64a()
	sum.Write(b[:metaChecksum])
	if sum.Sum64() != binary.NativeEndian.Uint64(b[metaChecksum:]) {
		return metaPage{}, errTorn
	}
	return m, nil
}

// page reads a page with what it overflows to, after checking that it is the page
// it should be and that nothing else has it.
func (in *inspector) page(id uint64, flags ...uint16) (page []byte, flag, count uint16, err error) {
	if in.stop != nil {
		if err := in.stop(); err != nil {
			return nil, 0, 0, err
		}
	}
	if id < firstDataPage || id >= in.meta.pages {
		return nil, 0, 0, fmt.Errorf("page %d does not exist", id)
	}
	var header [pageHeader]byte
	at := int64(id * in.meta.pageSize)
	if _, err := in.file.ReadAt(header[:], at); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d can't be read: %w", id, err)
	}
	flag = binary.NativeEndian.Uint16(header[8:])
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	known := false
	for _, f := range flags {
		known = known || f == flag
	}
	if binary.NativeEndian.Uint64(header[:]) != id || !known || id+overflow >= in.meta.pages {
		return nil, 0, 0, fmt.Errorf("page %d was overwritten", id)
	}
	for i := id; i <= id+overflow; i++ {
		if !in.mark(i) {
			return nil, 0, 0, fmt.Errorf("page %d is used twice", i)
		}
	}
	page = make([]byte, (overflow+1)*in.meta.pageSize)
	if _, err := in.file.ReadAt(page, at); err != nil {
		return nil, 0, 0, fmt.Errorf("page %d can't be read: %w", id, err)
	}
	return page, flag, binary.NativeEndian.Uint16(header[10:]), nil
}

// mark says whether a page is seen for the first time.
func (in *inspector) mark(id uint64) bool {
	word, bit := &in.seen[id/64], uint64(1)<<(id%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// walk looks at a page and all below it.
func (in *inspector) walk(id uint64, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("page %d lies too deep", id)
	}
	page, flag, count, err := in.page(id, flagBranch, flagLeaf)
	if err != nil {
		return err
	}
	if flag == flagLeaf {
		return in.leaf(page, id, count, depth)
	}
	if count == 0 {
		return fmt.Errorf("page %d was overwritten", id)
	}
	var last []byte
	for i := range uint64(count) {
		at := pageHeader + i*elementSize
		if at+elementSize > uint64(len(page)) {
			return fmt.Errorf("page %d was overwritten", id)
		}
		pos := at + uint64(binary.NativeEndian.Uint32(page[at:]))
		end := pos + uint64(binary.NativeEndian.Uint32(page[at+4:]))
		if end > uint64(len(page)) || i > 0 && bytes.Compare(last, page[pos:end]) >= 0 {
			return fmt.Errorf("page %d was overwritten", id)
		}
		last = page[pos:end]
		if err := in.walk(binary.NativeEndian.Uint64(page[at+8:]), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leaf looks at the elements of a leaf page, which may lie inside another page.
func (in *inspector) leaf(page []byte, id uint64, count uint16, depth int) error {
	var last []byte
	for i := range uint64(count) {
		at := pageHeader + i*elementSize
		if at+elementSize > uint64(len(page)) {
			return fmt.Errorf("page %d was overwritten", id)
		}
		flags := binary.NativeEndian.Uint32(page[at:])
		pos := at + uint64(binary.NativeEndian.Uint32(page[at+4:]))
		end := pos + uint64(binary.NativeEndian.Uint32(page[at+8:]))
		valueEnd := end + uint64(binary.NativeEndian.Uint32(page[at+12:]))
		if flags&^elementBucket != 0 || valueEnd > uint64(len(page)) || i > 0 && bytes.Compare(last, page[pos:end]) >= 0 {
			return fmt.Errorf("page %d was overwritten", id)
		}
		last = page[pos:end]
		if flags&elementBucket == 0 {
			continue
		}
		if err := in.bucket(page[end:valueEnd], id, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket looks at a bucket, which has a page of its own or, if it is small, lies
// in the value that names it.
func (in *inspector) bucket(value []byte, id uint64, depth int) error {
	if len(value) < bucketHeader || depth > maxDepth {
		return fmt.Errorf("page %d was overwritten", id)
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return in.walk(root, depth)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return fmt.Errorf("page %d was overwritten", id)
	}
	return in.leaf(inline, id, binary.NativeEndian.Uint16(inline[10:]), depth)
}

// readFreelist looks at the list of free pages. A page that is both free and in use
// would be overwritten by the next commit.
func (in *inspector) readFreelist() error {
	page, _, short, err := in.page(in.meta.freelist, flagFreelist)
	if err != nil {
		return err
	}
	ids, count := page[pageHeader:], uint64(short)
	if short == longFreelist {
		count, ids = binary.NativeEndian.Uint64(ids), ids[pageIDSize:]
	}
	if count > uint64(len(ids))/pageIDSize {
		return errors.New("the list of free pages was overwritten")
	}
	for i := range count {
		id := binary.NativeEndian.Uint64(ids[i*pageIDSize:])
		if id < firstDataPage || id >= in.meta.pages || !in.mark(id) {
			return errors.New("the list of free pages was overwritten")
		}
	}
	return nil
}
