package wormhole_test

// mailboxScripts are about mailboxes and what is in them; see [scripts].
var mailboxScripts = map[string]string{
	"open": `
		A comes
		A open
		A open {"mailbox":"$app-m"}
		A open
		A open {"mailbox":"$app-m"}
		A open {"mailbox":"$app-n"}`,

	"add": `
		A comes
		A add
		A add {"phase":"p","body":"00"}
		A open {"mailbox":"$app-m"}
		A add
		A add {"body":"00"}
		A add {"phase":"p"}
		A add {"phase":"p","body":"00"}
		A hears 1
		A add {"phase":"p","body":"no hex at all","id":"one"}
		A add {"phase":"p","body":"","id":"one"}
		A add {"phase":"p","body":"","id":"one"}
		A add {"phase":"","body":"{\"json\":\"é\"}","id":null}
		A hears 4`,

	"two talk": `
		A comes
		A claim {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		A add {"phase":"pake","body":"aa","id":"1"}
		A hears 1
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		B hears 1
		B add {"phase":"pake","body":"bb","id":"1"}
		A hears 1
		B hears 1
		A release
		B release
		A add {"phase":"version","body":"cc"}
		B add {"phase":"version","body":"dd"}
		A hears 2
		B hears 2
		A close {"mood":"happy"}
		B close {"mood":"happy"}
		A comes
		A open {"mailbox":"$mailbox1"}
		A hears all
		usage`,

	"replay": `
		A comes
		A open {"mailbox":"$app-m"}
		A add {"phase":"1","body":"01"}
		A add {"phase":"2","body":"02"}
		A leaves
		B comes
		B open {"mailbox":"$app-m"}
		B hears 2
		B add {"phase":"3","body":"03","id":"3"}
		A comes
		A open {"mailbox":"$app-m"}
		A hears 3
		B hears 1`,

	"one side, two connections": `
		A comes
		A open {"mailbox":"$app-m"}
		A2 comes
		A2 open {"mailbox":"$app-m"}
		A add {"phase":"1","body":"01"}
		A hears 1
		A2 hears 1
		A leaves
		A2 add {"phase":"2","body":"02"}
		A2 hears 1
		A2 close
		A comes
		A open {"mailbox":"$app-m"}
		usage`,

	"a claim alone hears nothing": `
		A comes
		A claim {"nameplate":"10001"}
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		B add {"phase":"1","body":"01"}
		B hears 1
		A hears all
		A open {"mailbox":"$mailbox1"}
		A hears 1`,

	"close": `
		A comes
		A close
		A open {"mailbox":"$app-m"}
		A close {"mailbox":"$app-n"}
		A close {"mailbox":"$app-m","mood":"happy"}
		A close {"mailbox":"$app-m"}
		A close
		A add {"phase":"p","body":"00"}
		usage`,

	"moods": `
		A comes
		A open {"mailbox":"$app-m"}
		A close
		A comes
		A open {"mailbox":"$app-m"}
		A close {"mood":null}
		A comes
		A open {"mailbox":"$app-m"}
		A close {"mood":"exuberant"}
		A comes
		A open {"mailbox":"$app-m"}
		A close {"mood":"scary"}
		usage`,

	"closing again": `
		A comes
		A open {"mailbox":"$app-m"}
		B comes
		B open {"mailbox":"$app-m"}
		A close {"mood":"happy"}
		A comes
		A close {"mailbox":"$app-m","mood":"happy"}
		B add {"phase":"p","body":"00"}
		B hears 1
		A comes
		A open {"mailbox":"$app-m"}
		A hears 1
		A close
		B close
		B comes
		B open {"mailbox":"$app-m"}
		B hears all
		usage`,

	"open after close": `
		A comes
		A open {"mailbox":"$app-m"}
		A close
		A open {"mailbox":"$app-m"}
		A add {"phase":"p","body":"00"}
		A hears 1
		A close
		usage`,

	"a third after one closed": `
		A comes
		A open {"mailbox":"$app-m"}
		B comes
		B open {"mailbox":"$app-m"}
		A close
		C comes
		C open {"mailbox":"$app-m"}`,

	"another app has the same side": `
		A connects
		A bind {"appid":"$app","side":"S"}
		A claim {"nameplate":"10001"}
		B connects
		B bind {"appid":"$other","side":"S"}
		B claim {"nameplate":"10001"}
		B release
		B open {"mailbox":"$mailbox2"}
		B close
		A list
		A release
		A list
		A open {"mailbox":"$mailbox1"}
		A close {"mood":"errory"}
		usage`,

	"the mailbox without a name": `
		A comes
		A close {"mailbox":"","mood":"errory"}
		B connects
		B bind {"appid":"$other","side":"B"}
		B close {"mailbox":"","mood":"errory"}`,

	"binary": `
		A connects
		A binary {"type":"bind","appid":"$app","side":"A","id":"1"}
		A binary {"type":"claim","nameplate":"10001"}
		A binary {"type":"open","mailbox":"$mailbox1"}
		A binary {"type":"add","phase":"p","body":"00","id":"x"}
		A hears 1`,

	"by name, without having had it": `
		A comes
		A claim {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		A add {"phase":"1","body":"01"}
		A leaves
		A comes
		A release {"nameplate":"10001"}
		A close {"mailbox":"$mailbox1","mood":"happy"}
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		B hears all
		usage`,

	"an interrupted client": `
		A comes
		A claim {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		A add {"phase":"pake","body":"aa","id":"1"}
		B comes
		B claim {"nameplate":"10001"}
		B open {"mailbox":"$mailbox1"}
		B hears 1
		B add {"phase":"pake","body":"bb","id":"1"}
		A comes
		A open {"mailbox":"$mailbox1"}
		A add {"phase":"pake","body":"aa","id":"2"}
		A hears 3
		A comes
		A release {"nameplate":"10001"}
		A open {"mailbox":"$mailbox1"}
		A hears 3
		B comes
		B release {"nameplate":"10001"}
		B close {"mailbox":"$mailbox1","mood":"happy"}
		A comes
		A close {"mailbox":"$mailbox1","mood":"happy"}
		A comes
		A close {"mailbox":"$mailbox1","mood":"happy"}
`,
}
