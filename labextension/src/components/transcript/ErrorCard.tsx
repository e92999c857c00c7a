/** An error where the answer would be: what happened, and the action that helps. */
import * as React from 'react';

import type { IErrorInfo, ITurn } from '../../wire/types';
import { copyText } from '../clipboard';
import { chosenModel } from '../modelpicker';
import { useBusy, useChat, useRoom } from '../room';
import { errorWords, reportOf } from '../words';

export function ErrorCard(props: {
  turn: ITurn;
  error: IErrorInfo;
}): JSX.Element {
  const { turn, error } = props;
  const { trans, store } = useRoom();
  const { title, text, action } = errorWords(trans, error);
  const left = useCountdown(turn, error);
  const busy = useBusy();
  const { another, several } = useModels(turn);
  const asks = ['models', 'other', 'admin'].includes(action);
  const partial = (turn.parts ?? []).some(part => part.type === 'text');
  return (
    <div className="jp-Cellar-error" role="group" aria-label={title}>
      <div className="jp-Cellar-error-title">{title}</div>
      {text ? <div className="jp-Cellar-error-text">{text}</div> : null}
      <div className="jp-Cellar-error-actions">
        {['retry', 'check', 'models'].includes(action) || (asks && another) ? (
          <button
            type="button"
            className="jp-Cellar-button"
            disabled={left > 0 || busy}
            onClick={() => void store.retry(turn.id)}
          >
            {left > 0
              ? trans.__('Try again in %1 s', String(left))
              : trans.__('Try again')}
          </button>
        ) : null}
        {asks && several && !another ? (
          <button
            type="button"
            className="jp-Cellar-button"
            onClick={focusModels}
          >
            {trans.__('Choose another model')}
          </button>
        ) : null}
        {action === 'admin' ? <CopyReport turn={turn} error={error} /> : null}
        {action === 'room' ? <MakeRoom turn={turn} /> : null}
        {action === 'reload' ? (
          <button
            type="button"
            className="jp-Cellar-button"
            onClick={() => window.location.reload()}
          >
            {trans.__('Load the page again')}
          </button>
        ) : null}
        {partial ? (
          <button
            type="button"
            className="jp-Cellar-button"
            disabled={busy}
            onClick={() => void store.continueTurn(turn.id)}
          >
            {trans.__('Continue')}
          </button>
        ) : null}
        {error.request_id ? (
          <span className="jp-Cellar-dim" title={error.message}>
            {trans.__('Request %1', error.request_id)}
          </span>
        ) : null}
      </div>
    </div>
  );
}

/** Is there another model, and is it the one that would be asked now? */
function useModels(turn: ITurn): { another: boolean; several: boolean } {
  const status = useChat(state => state.status);
  const chosen = chosenModel(
    status,
    useChat(state => state.model)
  );
  return {
    another: Boolean(chosen && turn.model) && chosen?.id !== turn.model,
    several: (status?.models.length ?? 0) > 1
  };
}

function focusModels(event: React.MouseEvent): void {
  event.currentTarget
    .closest('.jp-Cellar-panel')
    ?.querySelector<HTMLElement>('.jp-Cellar-model select')
    ?.focus();
}

/** What the people who run the server need to know. */
function CopyReport(props: { turn: ITurn; error: IErrorInfo }): JSX.Element {
  const { trans } = useRoom();
  const [copied, setCopied] = React.useState(false);
  const report = reportOf(props.error, props.turn);
  return (
    <button
      type="button"
      className="jp-Cellar-button"
      onClick={() => void copyText(report).then(setCopied)}
    >
      {copied ? trans.__('Copied') : trans.__('Copy details for the admin')}
    </button>
  );
}

/** Too long: sum up the conversation, begin anew, or ask without attachments. */
function MakeRoom({ turn }: { turn: ITurn }): JSX.Element {
  const { trans, store } = useRoom();
  const earlier = turn.parent_id !== null;
  const askBare = (): void => {
    const { text, mode, parent_id: parentId } = turn;
    store
      .send({ text, mode, parentId, context: [], pills: [] })
      .catch((error: unknown) => store.notify(error));
  };
  return (
    <>
      {earlier ? (
        <>
          <button
            type="button"
            className="jp-Cellar-button"
            onClick={() => void store.compact()}
          >
            {trans.__('Compact')}
          </button>
          <button
            type="button"
            className="jp-Cellar-button"
            onClick={() => void store.newFromSummary()}
          >
            {trans.__('New chat from summary')}
          </button>
        </>
      ) : null}
      {turn.pills?.length ? (
        <button type="button" className="jp-Cellar-button" onClick={askBare}>
          {trans.__('Ask without attachments')}
        </button>
      ) : null}
    </>
  );
}

/** Seconds until it may be tried again. */
function useCountdown(turn: ITurn, error: IErrorInfo): number {
  const wait = error.retry_after ?? 0;
  const until = ((turn.finished ?? 0) + wait) * 1000;
  // The server's clock may be ahead: never longer than it said.
  const left = () =>
    Math.min(wait, Math.max(0, Math.ceil((until - Date.now()) / 1000)));
  const [seconds, setSeconds] = React.useState(left);
  React.useEffect(() => {
    if (seconds <= 0) {
      return;
    }
    const timer = setInterval(() => setSeconds(left()), 500);
    return () => clearInterval(timer);
  });
  return seconds;
}
