// Is loaded into each process of tests, whose standard input is a pipe from the runner: when the runner is gone,
// whatever ended it, the whole process group ends by force.
process.stdin.once('close', () => process.kill(-process.pid, 'SIGKILL'));
process.stdin.resume();
process.stdin.unref();
