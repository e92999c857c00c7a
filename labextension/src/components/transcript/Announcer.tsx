/** Tells a screen reader when a turn begins and ends; never token by token. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { isRunning } from '../../chat/tree';
import type { ITurn } from '../../wire/types';
import { useRoom } from '../room';
import { errorWords } from '../words';

export function Announcer(props: { branch: readonly ITurn[] }): JSX.Element {
  const { trans } = useRoom();
  const last = props.branch[props.branch.length - 1];
  const [words, setWords] = React.useState('');
  const before = React.useRef<string>(key(last));
  React.useEffect(() => {
    const now = key(last);
    if (now !== before.current) {
      // A conversation that was opened is not an event.
      const same = before.current.split(' ')[0] === now.split(' ')[0];
      before.current = now;
      if (last && (same || isRunning(last))) {
        setWords(announcement(trans, last));
      }
    }
  }, [last, trans]);
  return (
    <div className="jp-Cellar-hidden" role="status" aria-live="polite">
      {words}
    </div>
  );
}

function key(turn: ITurn | undefined): string {
  return turn ? `${turn.id} ${turn.state}` : '';
}

function announcement(trans: TranslationBundle, turn: ITurn): string {
  switch (turn.state) {
    case 'queued':
      return trans.__('Waiting for the model');
    case 'running':
      return trans.__('Cellar is answering');
    case 'complete':
      return trans.__('The answer is there');
    case 'stopped':
      return trans.__('Stopped');
    case 'error':
      return turn.error ? errorWords(trans, turn.error).title : '';
    default:
      return trans.__('The answer ended early');
  }
}
