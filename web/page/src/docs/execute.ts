import type { Node, System } from './viewer.js';

/**
 * Shows the button that executes an operation once the viewer knows the operation, which it looks up a moment after it was
 * opened. One that is pressed before throws, and stays disabled.
 */
export const execute = {
  wrapComponents: {
    execute:
      (Execute: unknown, { React }: System) =>
      (props: { operation: Node }) =>
        props.operation.getIn(['operationId']) === undefined ? null : React.createElement(Execute, props),
  },
};
