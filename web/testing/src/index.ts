/** What the tests of the client and of the page share: the programs that they run against, and parts of a browser. */
export { Locks, storage } from './browser.js';
export { Nginx } from './nginx.js';
export { holds } from './property.js';
export { Server } from './server.js';
export { until } from './until.js';
