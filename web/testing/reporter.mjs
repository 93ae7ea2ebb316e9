// Tells the runner which tests begin and end, on the file descriptor 3.
import { writeSync } from 'node:fs';

export default async function* tell(events) {
  for await (const { type, data } of events) {
    const { name, nesting, file, line, column, details } = data;
    const kind = { 'test:dequeue': 'begin', 'test:complete': 'end', 'test:pass': 'pass', 'test:fail': 'fail' }[type];
    if (!kind || name === file) continue;
    if (kind === 'pass' && details?.type === 'suite') continue;
    const place = `${nesting} ${line}:${column} ${name}`;
    const skipped = data.skip !== undefined || data.todo !== undefined;
    writeSync(3, `${JSON.stringify({ kind, name, place, nesting, skipped })}\n`);
  }
  yield '';
}
