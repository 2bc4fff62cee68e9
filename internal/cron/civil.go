package cron

const daySeconds = 24 * 60 * 60

// date gives the civil date of a day counted from 1970-01-01. Both functions are Howard Hinnant's
// (https://howardhinnant.github.io/date_algorithms.html): years begin in March, so that the leap day is a year's last,
// and everything repeats every 400 years, which is 146,097 days.
func date(day int64) (year int64, month, dom int) {
	day += 719468 // from 1970-01-01 to 0000-03-01
	era := floorDiv(day, 146097)
	doe := day - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	dom = int(doy - (153*mp+2)/5 + 1)
	month = int(mp) + 3
	year = yoe + era*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, dom
}

// dayOf gives the day, counted from 1970-01-01, on which a month begins.
func dayOf(year int64, month int) int64 {
	m := int64(month) - 3
	if month < 3 {
		year--
		m += 12
	}
	era := floorDiv(year, 400)
	yoe := year - era*400
	doy := (153*m + 2) / 5
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// weekday of a day; 0 is Sunday.
func weekday(day int64) int { return int(floorMod(day+4, 7)) }

func daysIn(year int64, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}
