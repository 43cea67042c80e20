# Which layer may include which: down only. Reads all of include/ and src/, names every arrow that
# points up or sideways, and any use of sofia's headers outside src/sip.
BEGIN {
	rank["base"] = 0
	rank["sip"] = rank["config"] = rank["metrics"] = 1
	rank["loop"] = 2
	rank["transport"] = 3
	rank["transaction"] = rank["flow"] = rank["upstream"] = rank["charging"] = 4
	rank["proxy"] = 5
	rank["worker"] = rank["admin"] = 6
	rank["control"] = 7
	rank["main"] = 8
	sideways["upstream", "transaction"] = 1 # probes are ordinary client transactions
}

FNR == 1 {
	split(FILENAME, part, "/")
	own = part[2]
	if (!(own in rank))
		complain("a layer that ARCHITECTURE.md does not know")
}

/^[ \t]*#[ \t]*include[ \t]*[<"]sofia-sip\// && (part[1] != "src" || own != "sip") {
	complain("sofia's headers are for src/sip only")
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	split($0, quoted, "\"")
	name = quoted[2]
	if (split(name, step, "/") != 2) {
		# a private header: the compiler finds it in its own folder only, unless the path climbs
		if (name ~ /\.\./)
			complain("includes " name ": reaches into another folder")
		next
	}
	other = step[1]
	if (!(other in rank))
		complain("includes " name ": no such layer")
	else if (other != own && rank[other] >= rank[own] && !((own, other) in sideways))
		complain("includes " name ": " own " may not know " other)
}

function complain(what) {
	printf "%s:%d: %s\n", FILENAME, FNR, what
	faults++
}

END { exit faults > 0 }
