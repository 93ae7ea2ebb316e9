package wormhole_test

import "maps"

// scripts are what clients of the wormhole protocol say, line by line: who says what, and with which members.
//
//	A connects            and is not bound yet
//	A comes               connects and binds: as side A, and so does A2
//	A hears 2             waits for two messages; or "all": those that are there by now
//	A sends [1]           a frame as it stands here
//	A binary {…}          the same, as a binary frame
//	A leaves              closes its connection
//	GET /                 a request of no WebSocket
//	usage                 what the servers remember when all is over
//	--flag                both servers have it
//
// Both servers answer each line alike. Where they do not, the next line says so: why, what the reference server answers, and
// what ours does. The reasons are the rows of the table in docs/wormhole.md.
func scripts() map[string]string {
	all := maps.Clone(deviantScripts)
	maps.Copy(all, nameplateScripts)
	maps.Copy(all, mailboxScripts)
	return all
}

// nameplateScripts are about coming and about nameplates.
var nameplateScripts = map[string]string{
	"hello": `
		A connects
		A connects at /v1/
		A connects at /v1?x=1
		A leaves
		GET /
		GET /v1
		GET /nothing`,

	"before bind": `
		A connects
		A list
		A allocate
		A claim {"nameplate":"10001"}
		A release
		A connects
		A open {"mailbox":"m"}
		A add {"phase":"p","body":"00"}
		A close
		A claim
		A unheard
		A ping {"ping":1}`,

	"no type": `
		A comes
		A sends {}
		A sends {"id":"x"}
		A sends {"type":null}
		A sends {"type":7}
		A sends {"type":"unheard","more":{"a":[1,2.5,null,"\u00e9"]}}`,

	"bind": `
		A connects
		A bind
		A bind {"side":"A"}
		A bind {"appid":"$app"}
		A bind {"appid":"$app","side":"A","unheard":[1]}
		A bind {"appid":"$app","side":"A"}
		A bind {"appid":"$app","side":"B"}
		A bind`,

	"client versions": `
		A connects
		A bind {"appid":"$app","side":"A","client_version":["python","1.2.3"]}
		A connects
		A bind {"appid":"$app","side":"A","client_version":["python","1.2.3","junk"]}
		A list
		usage`,

	"ids come back": `
		A comes
		A ping {"ping":1,"id":"text"}
		A ping {"ping":1,"id":0}
		A ping {"ping":1,"id":1.5}
		A ping {"ping":1,"id":null}
		A ping {"ping":1,"id":false}
		A ping {"ping":1,"id":[1,{"a":"b"}]}
		A ping {"ping":1,"id":{"a":null}}
		A list {"id":"text"}
		A unheard {"id":"text"}`,

	"ping": `
		A connects
		A ping
		A ping {"ping":"text"}
		A ping {"ping":null}
		A ping {"ping":[{"a":1}]}
		A ping {"ping":9007199254740993}`,

	"list": `
		A comes
		A list
		A claim {"nameplate":"0010"}
		A list
		B comes
		B claim {"nameplate":"0002"}
		A list
		C comes
		C allocate
		A release {"nameplate":"0010"}
		B release
		A list
		D connects
		D bind {"appid":"$other","side":"D"}
		D list
		usage`,

	"allocate": `
		A comes
		A allocate
		A allocate
		A claim {"nameplate":"$nameplate1"}
		A release
		A allocate`,

	"claim": `
		A comes
		A claim
		A claim {"nameplate":"10001"}
		A claim
		A claim {"nameplate":"10001"}
		A claim {"nameplate":"10002"}`,

	"two claims, one mailbox": `
		A comes
		A claim {"nameplate":"10001"}
		B comes
		B claim {"nameplate":"10001"}
		C connects
		C bind {"appid":"$other","side":"C"}
		C claim {"nameplate":"10001"}
		A2 comes
		A2 claim {"nameplate":"10001"}`,

	"zeros make another nameplate": `
		A comes
		A claim {"nameplate":"0"}
		B comes
		B claim {"nameplate":"00"}
		C comes
		C claim {"nameplate":"0123456789012345678901234567890123456789"}`,

	"release": `
		A comes
		A release
		A claim {"nameplate":"10001"}
		A release {"nameplate":"10002"}
		A release
		A release
		A list
		usage`,

	"release by name": `
		A comes
		A claim {"nameplate":"10001"}
		A release {"nameplate":"10001"}
		A release {"nameplate":"10001"}
		B comes
		B release {"nameplate":"10001"}
		C comes
		C release {"nameplate":"10009"}
		C release {"nameplate":"10009"}
		usage`,

	"release by name, then claim": `
		A comes
		A release {"nameplate":"10001"}
		A claim {"nameplate":"10001"}
		A list`,

	"reclaimed": `
		A comes
		A claim {"nameplate":"10001"}
		B comes
		B claim {"nameplate":"10001"}
		A release
		A comes
		A claim {"nameplate":"10001"}
		A release
		B release
		usage`,

	"claimed anew": `
		A comes
		A claim {"nameplate":"10001"}
		A release
		A comes
		A claim {"nameplate":"10001"}
		usage`,

	"an interrupted nameplate": `
		A comes
		A claim {"nameplate":"10001"}
		A comes
		A claim {"nameplate":"10001"}
		A comes
		A release {"nameplate":"10001"}
		A list
		A comes
		A release {"nameplate":"10001"}
		usage`,
}
