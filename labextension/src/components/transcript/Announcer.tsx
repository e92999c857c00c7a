/** Tells a screen reader when a turn begins and ends; never token by token. */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import type { IChatState } from '../../chat/state';
import { isRunning } from '../../chat/tree';
import type { ITurn } from '../../wire/types';
import { useRoom } from '../room';
import { errorWords } from '../words';
import { emptyWords } from './Answer';

export function Announcer(props: { branch: readonly ITurn[] }): JSX.Element {
  const { trans, store } = useRoom();
  const last = props.branch[props.branch.length - 1];
  const [said, say] = React.useState({ key: '', words: '' });
  const before = React.useRef(store.getState());
  React.useEffect(() => {
    const now = store.getState();
    if (last && isNews(last, before.current, now)) {
      const key = `${last.id} ${last.state}`;
      say({ key, words: announcement(trans, last) });
    }
    before.current = now;
  }, [last, store, trans]);
  return (
    <div className="jp-Cellar-srOnly" role="status" aria-live="polite">
      {/* The same words again are told again. */}
      <span key={said.key}>{said.words}</span>
    </div>
  );
}

/** A conversation that is opened is none, nor another branch of it. */
function isNews(turn: ITurn, before: IChatState, now: IChatState): boolean {
  const known = before.turns.get(turn.id);
  if (known) {
    return known.state !== turn.state;
  }
  const here = before.conversationId === now.conversationId || now.carries;
  return isRunning(turn) || (here && !before.opening);
}

function announcement(trans: TranslationBundle, turn: ITurn): string {
  switch (turn.state) {
    case 'queued':
      return trans.__('Waiting for the model');
    case 'running':
      return trans.__('Cellar is answering');
    case 'complete':
      return (
        emptyWords(trans, turn.parts ?? []) || trans.__('The answer is there')
      );
    case 'stopped':
      return trans.__('Stopped');
    case 'error':
      return turn.error ? errorWords(trans, turn.error).title : '';
    default:
      return trans.__('The answer ended early');
  }
}
