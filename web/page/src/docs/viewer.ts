/** As much as is needed of Swagger UI, which is a script of its own. */

export interface System {
  React: { createElement(type: unknown, props: object | null, ...children: unknown[]): unknown; Fragment: unknown };
  specSelectors: { specJson(): Node };
  specActions: { changeParam(operation: [path: string, method: string], name: string, place: string, value: string, xml: boolean): void };
  authActions: { authorize(credentials: object): void };
}

/** A part of the contract, as an immutable map. */
export interface Node {
  getIn(path: string[]): Node | undefined;
  toJS(): unknown;
}
