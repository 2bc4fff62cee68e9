package store

// pages hold what is named by its index, in pages, so that growing copies nothing. Index 0 is nothing.
type pages[T any] struct {
	all  []*[1 << pageBits]T
	made int32 // 1 to made were handed out
}

const (
	pageBits = 7
	pageMask = 1<<pageBits - 1
)

func (ps *pages[T]) at(i int32) *T { return &ps.all[i>>pageBits][i&pageMask] }

// add hands out one more, which is zero.
func (ps *pages[T]) add() int32 {
	ps.made++
	if int(ps.made>>pageBits) == len(ps.all) {
		ps.all = append(ps.all, new([1 << pageBits]T))
	}
	return ps.made
}

// ids keep the IDs of records: copies, so that an ID which was cut out of something large keeps nothing else. What does
// not fit into a record is in a chain of cells, which are used again whatever the length of the next ID.
type ids struct {
	cells  pages[cell]
	unused int32 // a list of the cells that are not used now
}

type cell struct {
	next int32 // the rest of the ID; of an unused one, the next unused
	b    [inCell]byte
}

const inCell = 60

// set copies the ID of a record that has none.
func (x *ids) set(r *record, id string) {
	r.size = len(id)
	rest := &r.more
	for n := copy(r.id[:], id); n < len(id); {
		i := x.unused
		if i != 0 {
			x.unused = x.cells.at(i).next
		} else {
			i = x.cells.add()
		}
		c := x.cells.at(i)
		n += copy(c.b[:], id[n:])
		c.next = 0
		*rest, rest = i, &c.next
	}
}

// is reports whether id is the record's.
func (x *ids) is(r *record, id string) bool {
	if r.size != len(id) {
		return false
	}
	if len(id) <= inRecord {
		return string(r.id[:len(id)]) == id
	}
	if string(r.id[:]) != id[:inRecord] {
		return false
	}
	id = id[inRecord:]
	for i := r.more; i != 0; {
		c := x.cells.at(i)
		n := min(len(id), inCell)
		if string(c.b[:n]) != id[:n] {
			return false
		}
		id, i = id[n:], c.next
	}
	return true
}

// get gives the ID of a record.
func (x *ids) get(r *record) string {
	b := make([]byte, 0, r.size)
	b = append(b, r.id[:min(r.size, inRecord)]...)
	for i := r.more; i != 0; {
		c := x.cells.at(i)
		b = append(b, c.b[:min(r.size-len(b), inCell)]...)
		i = c.next
	}
	return string(b)
}

// drop gives the record's cells back.
func (x *ids) drop(r *record) {
	for i := r.more; i != 0; {
		c := x.cells.at(i)
		next := c.next
		c.next, x.unused = x.unused, i
		i = next
	}
	r.more = 0
}

// owners are the names of those who hold keys. There are few, so a record has the index of its owner; 0 is nobody.
type owners struct {
	byName map[string]int32
	all    []holder
	spare  int32 // a list of those that were given up
}

type holder struct {
	name string
	n    int   // records, and calls under way, that use it; at 0 it is given up
	next int32 // of one that was given up, the next such
}

func (os *owners) init() {
	os.byName = make(map[string]int32)
	os.all = make([]holder, 1, 4)
}

// hold gives the index of a name, which stays until it is dropped as often.
func (os *owners) hold(name string) int32 {
	i := os.byName[name]
	if i == 0 {
		if i = os.spare; i != 0 {
			os.spare = os.all[i].next
		} else {
			i = int32(len(os.all))
			os.all = append(os.all, holder{})
		}
		os.all[i] = holder{name: name}
		os.byName[name] = i
	}
	os.all[i].n++
	return i
}

// find gives the index of a name that holds something, 0 when it does not.
func (os *owners) find(name string) int32 { return os.byName[name] }

// give makes a record the property of an owner who is held.
func (os *owners) give(r *record, i int32) {
	if r.owner != i {
		os.all[i].n++
		os.drop(r.owner)
		r.owner = i
	}
}

func (os *owners) drop(i int32) {
	if i == 0 {
		return
	}
	h := &os.all[i]
	if h.n--; h.n > 0 {
		return
	}
	delete(os.byName, h.name)
	*h = holder{next: os.spare}
	os.spare = i
}
