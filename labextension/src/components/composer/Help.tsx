/** `/help`: the commands and the keys, in a dialog of JupyterLab's own. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { SendWith } from '../../chat/keys';
import { COMMANDS } from '../../chat/commands';
import { commandWords } from './rows';

function keys(
  trans: TranslationBundle,
  sendWith: SendWith
): [string, string][] {
  const [send, line, now] =
    sendWith === 'enter'
      ? ['Enter', 'Shift+Enter', 'Ctrl+Enter']
      : ['Ctrl+Enter', 'Enter', 'Ctrl+Shift+Enter'];
  return [
    [send, trans.__('Send; while an answer runs, the message waits its turn')],
    [line, trans.__('New line')],
    [now, trans.__('Send now: stops the answer that runs')],
    ['Esc', trans.__('Stop the answer; close a menu')],
    ['↑ ↓', trans.__('In an empty box: earlier messages')],
    [
      '@',
      trans.__('Add files, folders, cells, the selection or the last error')
    ],
    ['/', trans.__('Commands')]
  ];
}

export function showHelp(trans: TranslationBundle, sendWith: SendWith): void {
  void showDialog({
    title: trans.__('Cellar: commands and keys'),
    body: <Help trans={trans} sendWith={sendWith} />,
    buttons: [Dialog.okButton({ label: trans.__('Close') })]
  });
}

function Help(props: {
  trans: TranslationBundle;
  sendWith: SendWith;
}): JSX.Element {
  const { trans, sendWith } = props;
  return (
    <div className="jp-Cellar-help">
      <h4>{trans.__('Commands')}</h4>
      <dl>
        {COMMANDS.map(name => (
          <React.Fragment key={name}>
            <dt>
              <code>/{name}</code>
            </dt>
            <dd>{commandWords(trans, name)}</dd>
          </React.Fragment>
        ))}
      </dl>
      <h4>{trans.__('Keys')}</h4>
      <dl>
        {keys(trans, sendWith).map(([key, words]) => (
          <React.Fragment key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{words}</dd>
          </React.Fragment>
        ))}
      </dl>
      <p>
        {trans.__(
          'Shortcuts of the notebook and of the panel are in the settings under Keyboard Shortcuts: search for Cellar.'
        )}
      </p>
    </div>
  );
}
