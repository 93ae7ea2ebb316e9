/** The address of this server, without a slash at its end. The page is at its root, which a proxy may put below a path. */
export const server = new URL('.', document.baseURI).href.replace(/\/$/, '');
