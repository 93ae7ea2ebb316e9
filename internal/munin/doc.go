// Package munin prints graphs for the monitoring system Munin: what a server does, from what the caller found out about
// it. The first six are those of the reference wormhole server. The seventh tells how old the news is, so that the
// others need not fall silent when it is old.
package munin
