package wormhole_test

// The deviations that are everywhere.
const (
	yourAddress      = "your address"
	allocatedMailbox = "mailbox of an allocation"
)

// deviantScripts are those that the servers do not answer alike; see [scripts].
var deviantScripts = map[string]string{
	"a third claim": `
		A comes
		A claim {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		B add {"phase":"1","body":"01"}
		A hears 1
		B hears 1
		A add {"phase":"2","body":"02"}
		A hears 1
		B hears 1
		C comes
		C claim {"nameplate":"10001"}
		C claim {"nameplate":"10001"}
		C release
		C close {"mailbox":"$mailbox1","mood":"errory"}
			third side: ack; error "crowded" ≠ ack; closed
		A comes
		A claim {"nameplate":"10001"}
			third side: ack; error "crowded" ≠ ack; claimed {"mailbox":"$mailbox1"}
		A open {"mailbox":"$mailbox1"}
			third side: ack; error "crowded" ≠ ack
		A hears 1
			third side: nothing ≠ message {"body":"01","id":null,"phase":"1","side":"B"}
		A release {"nameplate":"10001"}
		A close {"mailbox":"$mailbox1","mood":"happy"}
			third side: ack; error "crowded" ≠ ack; closed
		B release
		B close {"mood":"happy"}
		usage
			third side: nameplate crowded ≠ mailbox crowded; nameplate crowded`,

	"a third opens": `
		A comes
		A open {"mailbox":"$app-m"}
		B comes
		B open {"mailbox":"$app-m"}
		B add {"phase":"1","body":"01"}
		B hears 1
		C comes
		C open {"mailbox":"$app-m"}
		C add {"phase":"2","body":"02"}
		C open {"mailbox":"$app-m"}
		C close {"mailbox":"$app-m"}
			third side: ack; error "crowded" ≠ ack; closed
		A hears 1
		A comes
		A open {"mailbox":"$app-m"}
			third side: ack; error "crowded" ≠ ack
		A hears 1
			third side: nothing ≠ message {"body":"01","id":null,"phase":"1","side":"B"}
		A close {"mailbox":"$app-m"}
			third side: ack; error "crowded" ≠ ack; closed
		B close
		usage
			third side: nothing ≠ mailbox crowded`,

	"a third closes": `
		A comes
		A open {"mailbox":"$app-m"}
		B comes
		B open {"mailbox":"$app-m"}
		C comes
		C close {"mailbox":"$app-m"}
			third side: ack; error "crowded" ≠ ack; closed
		A close
		B close
		usage
			third side: nothing ≠ mailbox happy`,

	"a third claim keeps nothing": `
		A comes
		A claim {"nameplate":"10001"}
		B comes
		B claim {"nameplate":"10001"}
		C comes
		C claim {"nameplate":"10001"}
		A release
		B release
		C list
			third side: ack; nameplates {"nameplates":[{"id":"10001"}]} ≠ ack; nameplates {"nameplates":[]}
		D comes
		D claim {"nameplate":"10001"}
			third side: ack; error "crowded" ≠ ack; claimed {"mailbox":"$mailbox2"}
		usage
			third side: nothing ≠ nameplate crowded`,

	"a pair is not listed": `
		A comes
		A claim {"nameplate":"10001"}
		A list
		B comes
		B claim {"nameplate":"10001"}
		A list
			list: ack; nameplates {"nameplates":[{"id":"10001"}]} ≠ ack; nameplates {"nameplates":[]}
		A release
		B list
			list: ack; nameplates {"nameplates":[{"id":"10001"}]} ≠ ack; nameplates {"nameplates":[]}
		B release
		B list`,

	"neither side releases": `
		A comes
		A claim {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		A close {"mood":"happy"}
		B close {"mood":"happy"}
			closed by all: lost ≠ ack; closed
		B comes
		B close {"mailbox":"$mailbox1","mood":"happy"}
			closed by all: lost ≠ ack; closed
		C comes
		C claim {"nameplate":"10001"}
			closed by all: ack; error "crowded" ≠ ack; claimed {"mailbox":"$mailbox2"}
		usage
			closed by all: nothing ≠ mailbox happy; nameplate happy`,

	"no other side came": `
		A comes
		A allocate
		A claim {"nameplate":"$nameplate1"}
		A open {"mailbox":"$mailbox1"}
		A close {"mood":"lonely"}
			closed by all: lost ≠ ack; closed
		A comes
		A release {"nameplate":"$nameplate1"}
		A list
		usage
			closed by all: nameplate lonely ≠ mailbox lonely; nameplate lonely`,

	"one releases": `
		A comes
		A claim {"nameplate":"10001"}
		B comes
		B claim {"nameplate":"10001"}
		A release
		A open {"mailbox":"$mailbox1"}
		A close
		B open {"mailbox":"$mailbox1"}
		B close
			closed by all: lost ≠ ack; closed
		B comes
		B list
			closed by all: ack; nameplates {"nameplates":[{"id":"10001"}]} ≠ ack; nameplates {"nameplates":[]}
		usage
			closed by all: nothing ≠ mailbox happy; nameplate happy`,

	"allocating again": `
		A comes
		A allocate
		A comes
		A allocate
			allocating again: ack; allocated {"nameplate":"$nameplate2"} ≠ ack; allocated {"nameplate":"$nameplate1"}
		A claim {"nameplate":"$nameplate1"}
		A release
		A list
			allocating again: ack; nameplates {"nameplates":[{"id":"$nameplate2"}]} ≠ ack; nameplates {"nameplates":[]}
		usage`,

	"another app has the same mailbox": `
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":"1","body":"01"}
		A hears 1
		B connects
		B bind {"appid":"$other","side":"B"}
		B open {"mailbox":"$app-m"}
			other apps: lost ≠ ack
		B connects
		B bind {"appid":"$other","side":"B"}
		B close {"mailbox":"$app-m"}
			other apps: lost ≠ ack; closed
		A add {"phase":"2","body":"02"}
		A hears 1
		A close
		usage
			other apps: mailbox lonely ≠ mailbox lonely; mailbox lonely`,

	"closing what is not there": `
		B comes
		B close {"mailbox":"$app-m"}
		B close {"mailbox":"$app-m"}
		usage
			closing nothing: mailbox lonely ≠ nothing`,

	"a ghost": `
		A comes
		A open {"mailbox":"$app-m"}
		B comes
		B open {"mailbox":"$app-m"}
		A close
		A open {"mailbox":"$app-m"}
		B close
		A add {"phase":"1","body":"01"}
		A hears 1
			opening again: nothing ≠ message {"body":"01","id":null,"phase":"1","side":"A"}
		B comes
		B open {"mailbox":"$app-m"}
		B hears 1
		B close
		A2 comes
		A2 close {"mailbox":"$app-m"}
		usage
			opening again: mailbox happy; mailbox lonely; mailbox lonely ≠ mailbox happy`,

	"no JSON": `
		A comes
		A sends hello
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}
		A comes
		A sends {"type":
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}
		A comes
		A sends [1,2]
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}
		A comes
		A sends null
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}
		A comes
		A sends "text"
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}
		A comes
		A sends 7
			bad input: lost ≠ ack; error {"error":"a command must be a JSON object with each member once","orig":{}}`,

	"client versions that are none": `
		A connects
		A bind {"appid":"$app","side":"A","client_version":[]}
			bad input: lost ≠ ack; error "'client_version' must be a list of two strings of at most 256 bytes, without NUL"
		A connects
		A bind {"appid":"$app","side":"A","client_version":null}
			bad input: lost ≠ ack
		A connects
		A bind {"appid":"$app","side":"A","client_version":{"a":1}}
			bad input: lost ≠ ack; error "'client_version' must be a list of two strings of at most 256 bytes, without NUL"
		A connects
		A bind {"appid":"$app","side":"A","client_version":"1.2.3"}
			bad input: ack ≠ ack; error "'client_version' must be a list of two strings of at most 256 bytes, without NUL"
		A connects
		A bind {"appid":"$app","side":"A","client_version":[["go"],{}]}
			bad input: lost ≠ ack; error "'client_version' must be a list of two strings of at most 256 bytes, without NUL"
		usage
			bad input: client 1 . ≠ nothing`,

	"nameplates that are none": `
		A comes
		A claim {"nameplate":7}
			bad input: lost ≠ ack; error "'nameplate' must be a string of at most 256 bytes, without NUL"
		A comes
		A claim {"nameplate":null}
			bad input: lost ≠ ack; error "'nameplate' must be a string of at most 256 bytes, without NUL"
		A comes
		A release {"nameplate":["1"]}
			bad input: lost ≠ ack; error "'nameplate' must be a string of at most 256 bytes, without NUL"
		A comes
		A claim {"nameplate":""}
			nameplates: ack; claimed {"mailbox":"$mailbox1"} ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"
		B comes
		B claim {"nameplate":"letters"}
			nameplates: ack; claimed {"mailbox":"$mailbox2"} ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"
		C comes
		C claim {"nameplate":"٣"}
			nameplates: ack; claimed {"mailbox":"$mailbox3"} ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"
		D comes
		D claim {"nameplate":"4\n"}
			nameplates: ack; claimed {"mailbox":"$mailbox4"} ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"
		E comes
		E claim {"nameplate":"12345678901234567890123456789012345678901"}
			nameplates: ack; claimed {"mailbox":"$mailbox5"} ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"
		F comes
		F release {"nameplate":"-1"}
			nameplates: ack; released ≠ ack; error "a nameplate is 1 to 40 of the digits 0-9"`,

	"mailboxes that are none": `
		A comes
		A open {"mailbox":7}
			bad input: lost ≠ ack; error "'mailbox' must be a string of at most 256 bytes, without NUL"
		A comes
		A open {"mailbox":null}
			bad input: lost ≠ ack; error "'mailbox' must be a string of at most 256 bytes, without NUL"
		A comes
		A close {"mailbox":["m"]}
			bad input: lost ≠ ack; error "'mailbox' must be a string of at most 256 bytes, without NUL"
		A comes
		A open {"mailbox":""}
			empty names: ack ≠ ack; error "'mailbox' must not be empty"
		A close {"mailbox":""}
		usage
			closing nothing: mailbox lonely ≠ nothing`,

	"apps and sides that are none": `
		A connects
		A bind {"appid":7,"side":"A"}
			bad input: lost ≠ ack; error "'appid' must be a string of at most 256 bytes, without NUL"
		A connects
		A bind {"appid":"$app","side":7}
			bad input: ack ≠ ack; error "'side' must be a string of at most 256 bytes, without NUL"
		A connects
		A bind {"appid":"","side":""}
			empty names: ack ≠ ack; error "'appid' and 'side' must not be empty"`,

	"messages that are none": `
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":"p","body":{"a":1}}
			bad input: lost ≠ ack; error "'body' must be a string of at most 65536 bytes"
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":7,"body":"00"}
			only text: ack ≠ ack; error "'phase' must be a string of at most 256 bytes, without NUL"
		A add {"phase":null,"body":"00"}
			only text: ack ≠ ack; error "'phase' must be a string of at most 256 bytes, without NUL"
		A add {"phase":"p","body":7}
			only text: ack ≠ ack; error "'body' must be a string of at most 65536 bytes"
		A hears all
			only text: message {"body":"00","id":null,"phase":7,"side":"A"}; message {"body":"00","id":null,"phase":null,"side":"A"}; message {"body":7,"id":null,"phase":"p","side":"A"} ≠ nothing
		A comes
		A open {"mailbox":"$app-m"}
		A hears all
			only text: message {"body":"00","id":null,"phase":"7","side":"A"}; message {"body":"00","id":null,"phase":null,"side":"A"}; message {"body":"7","id":null,"phase":"p","side":"A"} ≠ nothing`,

	"message ids that are none": `
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":"p","body":"00","id":7}
		A hears 1
			only text: message {"body":"00","id":7,"phase":"p","side":"A"} ≠ message {"body":"00","id":null,"phase":"p","side":"A"}
		A add {"phase":"p","body":"00","id":["x"]}
			bad input: lost ≠ ack; error "'id' must not be a list or an object"
		A comes`,

	"long ones": `
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":"p","body":"$long"}
		A hears 1
		A add {"phase":"p","body":"$tooLong"}
			sizes: ack ≠ ack; error {"error":"'body' must be a string of at most 65536 bytes","orig":{"body":"","phase":"p","type":"add"}}
		A hears all
			sizes: message {"body":"$tooLong","id":null,"phase":"p","side":"A"} ≠ nothing
		A unheard {"more":"$long","id":"x"}
			sizes: ack; error "unknown type" ≠ ack; error {"error":"unknown type","orig":{"id":"x","type":"unheard"}}`,

	"permission": `
		A connects
		A submit-permissions {"method":"none"}
			permission: ack; error "must bind first" ≠ ack
		A submit-permission {"method":"hashcash","stamp":"1:0:x:y::z:0"}
			permission: ack; error "must bind first" ≠ ack
		A bind {"appid":"$app","side":"A"}`,

	"origins": `
		A connects from http://example.org
		A connects from null
			origin null: 400 ≠ welcome {"welcome":{}}`,

	"closed for everybody": `
		--signal-error=closed for ever
		A connects
		A ping {"ping":1}
		A bind {"appid":"$app","side":"A"}
			signal error: ack ≠ ack; error "closed for ever"
		A allocate
			signal error: ack; allocated {"nameplate":"$nameplate1"} ≠ ack; error "must bind first"`,

	"nothing to list": `
		--disallow-list
		--advertise-version=9.9.9
		A comes
		A claim {"nameplate":"10001"}
		A list`,
}
