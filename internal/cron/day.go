package cron

import (
	"math/bits"
	"strconv"
	"strings"
)

// The days that depend on the month's shape are bits of set.more. In the day of month: bit n is "L-n" and bit 0 "L", up
// to 30; bit 31+d is "dW", up to 31W; bit 63 is "LW". In the day of week: bit 7(n-1)+d is "d#n", bit 35+d is "dL".
const (
	fromEnd     = 1<<31 - 1
	nearestBit  = 31 // plus the day
	nearest     = 1<<63 - 1<<32
	lastWeekday = 1 << 63

	nthWeekday = 1<<35 - 1
	lastBit    = 35 // plus the weekday
)

// domSpecial reads L, L-n, LW and nW.
func domSpecial(_ *field, item string) (more uint64, ok bool, fault *Fault) {
	item = strings.ToUpper(item)
	switch {
	case item == "L":
		return 1, true, nil
	case item == "LW":
		return lastWeekday, true, nil
	case strings.HasPrefix(item, "L-"):
		n, ok := number(item[2:])
		if !ok || n < 1 || n > 30 {
			return 0, true, &Fault{Value: item, Allowed: "L-1 to L-30, so many days before the month's last"}
		}
		return 1 << n, true, nil
	case strings.HasSuffix(item, "W"):
		d, ok := number(item[:len(item)-1])
		if !ok || d < 1 || d > 31 {
			return 0, true, &Fault{Value: item, Allowed: "1W to 31W, the weekday nearest to one day of the month, or LW, the month's last weekday"}
		}
		return 1 << (nearestBit + d), true, nil
	}
	return 0, false, nil
}

func appendDom(b []byte, more uint64) []byte {
	for rest := more & nearest; rest != 0; rest &= rest - 1 {
		b = append(strconv.AppendInt(b, int64(bits.TrailingZeros64(rest)-nearestBit), 10), "W,"...)
	}
	if more&lastWeekday != 0 {
		b = append(b, "LW,"...)
	}
	for rest := more & fromEnd; rest != 0; rest &= rest - 1 {
		b = append(b, 'L')
		if n := bits.TrailingZeros64(rest); n > 0 {
			b = strconv.AppendInt(b, -int64(n), 10)
		}
		b = append(b, ',')
	}
	return b
}

// dowSpecial reads d#n and dL.
func dowSpecial(f *field, item string) (more uint64, ok bool, fault *Fault) {
	if day, nth, found := strings.Cut(item, "#"); found {
		d, ok := f.value(day)
		n, okN := number(nth)
		if !ok || !okN || n < 1 || n > 5 {
			return 0, true, &Fault{Value: item, Allowed: "one of " + f.allowed + ", with #1 to #5, as FRI#2 is the second Friday of the month"}
		}
		return 1 << (7*(n-1) + d%7), true, nil
	}
	if n := len(item); n > 0 && item[n-1]|0x20 == 'l' {
		d, ok := f.value(item[:n-1])
		if !ok {
			return 0, true, &Fault{Value: item, Allowed: "L behind one of " + f.allowed + ", as FRIL or 5L is the last Friday of the month"}
		}
		return 1 << (lastBit + d%7), true, nil
	}
	return 0, false, nil
}

func appendDow(b []byte, more uint64) []byte {
	for rest := more & nthWeekday; rest != 0; rest &= rest - 1 {
		i := int64(bits.TrailingZeros64(rest))
		b = append(strconv.AppendInt(append(strconv.AppendInt(b, i%7, 10), '#'), i/7+1, 10), ',')
	}
	for rest := more >> lastBit; rest != 0; rest &= rest - 1 {
		b = append(strconv.AppendInt(b, int64(bits.TrailingZeros64(rest)), 10), "L,"...)
	}
	return b
}

// domDays gives the days that bits of the day of month stand for, in a month of so many days whose first day is a
// weekday.
func domDays(more uint64, size, first int) (days uint64) {
	for rest := more & fromEnd; rest != 0; rest &= rest - 1 {
		if d := size - bits.TrailingZeros64(rest); d > 0 {
			days |= 1 << d
		}
	}
	for rest := more & nearest; rest != 0; rest &= rest - 1 {
		if d := bits.TrailingZeros64(rest) - nearestBit; d <= size {
			days |= 1 << weekdayNear(d, size, first)
		}
	}
	if more&lastWeekday != 0 {
		days |= 1 << weekdayNear(size, size, first)
	}
	return days
}

// weekdayNear gives the day from Monday to Friday that is nearest to day d and in its month.
func weekdayNear(d, size, first int) int {
	switch (first + d - 1) % 7 {
	case 6:
		if d == 1 {
			return 3
		}
		return d - 1
	case 0:
		if d == size {
			return d - 2
		}
		return d + 1
	}
	return d
}

// dowDays is domDays for bits of the day of week, but a fifth one may lie beyond the month.
func dowDays(more uint64, size, first int) (days uint64) {
	for rest := more & nthWeekday; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		days |= 1 << (1 + (i%7-first+7)%7 + i/7*7) // perhaps beyond the month's last
	}
	for rest := more >> lastBit; rest != 0; rest &= rest - 1 {
		d := 1 + (bits.TrailingZeros64(rest)-first+7)%7
		days |= 1 << (d + (size-d)/7*7)
	}
	return days
}
