import type { StateStore } from '../wormhole/index.js';

const PLACE = 'restante conversation';

/** Keeps a conversation in this tab. Where nothing may be kept, it lives as long as the page. */
export const store: StateStore = {
  load: () => attempt(() => sessionStorage.getItem(PLACE) ?? undefined),
  save: (state) => attempt(() => sessionStorage.setItem(PLACE, state)),
  forget: () => attempt(() => sessionStorage.removeItem(PLACE)),
};

function attempt<T>(access: () => T): T | undefined {
  try {
    return access();
  } catch {
    return undefined;
  }
}
