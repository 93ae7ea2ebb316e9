import type { System } from './viewer.js';

interface Sample {
  source: string;
}

/** Puts the samples of an operation before its parameters, each as `here` writes it. */
export const samples = (here: (command: string) => string) => ({
  wrapComponents: {
    parameters:
      (Parameters: unknown, { React, specSelectors }: System) =>
      (operation: { pathMethod: [path: string, method: string] }) => {
        const list = (specSelectors.specJson().getIn(['paths', ...operation.pathMethod, 'x-codeSamples'])?.toJS() ?? []) as Sample[];
        const show = ({ source }: Sample, key: number) => React.createElement('pre', { key, tabIndex: 0 }, here(source.trim()));
        return React.createElement(
          React.Fragment,
          null,
          React.createElement('section', { className: 'samples' }, React.createElement('h4', null, 'On the command line'), ...list.map(show)),
          React.createElement(Parameters, operation),
        );
      },
  },
});
