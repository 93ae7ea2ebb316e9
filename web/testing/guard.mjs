// Is loaded into each process of tests, whose standard input is a pipe from the runner: when the runner is gone,
// whatever ended it, the whole process group ends by force.
const end = () => process.kill(-process.pid, 'SIGKILL');
process.stdin.once('close', end);
process.stdin.resume();
process.stdin.unref();
// A report to a runner that is gone fails, and would end this process, and only this one, before it learns that its input is closed.
process.on('uncaughtExceptionMonitor', ({ code }) => {
  if (code === 'EPIPE') end();
});
