import type { System } from './viewer.js';

/** Puts a component into a part of the page that has a name. */
const named =
  (name: string) =>
  (Component: unknown, { React }: System) =>
  (props: object) =>
    React.createElement('section', { 'aria-label': name }, React.createElement(Component, props));

/** What the viewer does that a screen reader or a keyboard stumbles over is done otherwise. */
export const a11y = {
  wrapComponents: {
    // A link within a button cannot be reached; the button does what the link would.
    DeepLink:
      (_: unknown, { React }: System) =>
      ({ text }: { text: string }) =>
        React.createElement('span', null, text),
    InfoContainer: named('About'),
    SchemesContainer: named('Credentials'),
    // There is one server: this one.
    ServersContainer: () => () => null,
  },
};

/** Gives a name to each field that the viewer leaves without one, and the keyboard a way to what is scrolled. */
export function labelFields(root: HTMLElement): void {
  new MutationObserver(() => {
    for (const field of root.querySelectorAll('select:not([aria-label]), textarea:not([aria-label])')) {
      field.setAttribute('aria-label', purpose(field));
    }
    for (const scrolled of root.querySelectorAll('.microlight:not([tabindex])')) scrolled.setAttribute('tabindex', '0');
    for (const table of root.querySelectorAll('[role=region]:not([aria-label])')) {
      table.setAttribute('aria-label', `Responses to ${table.closest('.opblock')?.querySelector('.opblock-summary-path')?.textContent ?? ''} ${table.id}`);
    }
  }).observe(root, { childList: true, subtree: true });
}

function purpose(field: Element): string {
  const parameter = field.closest<HTMLElement>('[data-param-name]')?.dataset['paramName'];
  if (parameter !== undefined) return parameter;
  if (field.matches('.examples-select-element')) return 'Example';
  return field.matches('.content-type') ? 'Media type' : 'Request body';
}
