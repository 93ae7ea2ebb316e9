/** The address of this server, which may be reached below a path. */
export const server = new URL('.', document.baseURI).href.replace(/\/$/, '');

/** Returns a command as it is to be typed for this server. */
export function here(command: string): string {
  return command.replaceAll('$SERVER', server).replace(/wss?:\/\/(localhost:4000|mail\.example)/g, server.replace(/^http/, 'ws'));
}
