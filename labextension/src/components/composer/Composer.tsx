/**
 * Where a question is written. What it is made of stands in files beside this one;
 * here they are put together.
 */
import { closeIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { localCommand } from '../../chat/commands';
import { attachedItems, type IComposerState } from '../../chat/composer';
import { featureOf } from '../../chat/features';
import type { KeyAction } from '../../chat/keys';
import { withCommand, withMention } from '../../chat/mentions';
import { meterOf } from '../../chat/meter';
import { describe } from '../describe';
import { chosenModel } from '../modelpicker';
import { attachFiles, imagesOf, type IAttachOptions } from './attach';
import { showHelp } from './Help';
import { Menu, optionId } from './Menu';
import { useMenu, type MenuRow } from './rows';
import { MakeRoom } from './Meter';
import { Pending } from './Pending';
import { Pills } from './Pills';
import type { IComposerProps } from './props';
import { Tools } from './Tools';
import { useDrop } from './useDrop';
import { usePreview } from './usePreview';
import { useText, type IText } from './useText';

const MENU_ID = 'jp-Cellar-menu';

export function Composer(props: IComposerProps): JSX.Element {
  const { trans, model, preview, chat, actions } = props;
  const state = React.useSyncExternalStore(model.subscribe, model.getState);
  const seen = React.useSyncExternalStore(preview.subscribe, preview.getState);
  const text = useText(model, state, chat.questions);
  const menu = useMenu(trans, text.trigger, model, state.automatic);
  const { send, error, clearError } = useSend(props, state);
  const attach = useAttach(props);
  const root = React.useRef<HTMLDivElement>(null);
  const over = useDrop(root, model, attach);
  const askPreview = usePreview(root, preview, state, chat);
  const vision = chosenModel(chat.status, chat.model)?.vision;
  const level = seen.receipt ? meterOf(seen.receipt).level : 'calm';
  const canCompact = chat.questions.length > 0 && !chat.running;

  const pick = (row: MenuRow): void => {
    const trigger = text.trigger;
    if (!trigger) {
      return;
    }
    if (row.kind === 'mention') {
      model.add([row.item]);
      text.edit(withMention(state.text, trigger, row.item.label));
    } else if (localCommand(`/${row.name}`)) {
      text.edit({ text: '', caret: 0 });
      runLocal(props, row.name);
    } else {
      text.edit(withCommand(state.text, trigger, row.name));
    }
  };
  const act = (action: KeyAction): void => {
    switch (action) {
      case 'send':
      case 'send-now':
        return send(action === 'send-now');
      case 'stop':
        return actions.stop();
      case 'cancel-edit':
        return model.endEdit();
      case 'menu-next':
        return menu.move(1);
      case 'menu-previous':
        return menu.move(-1);
      case 'menu-pick':
        return pick(menu.rows[menu.active]);
      case 'menu-close':
        return text.closeMenu();
    }
  };
  return (
    <div
      ref={root}
      className={`jp-Cellar-composer ${over ? 'jp-mod-drop' : ''}`}
      data-drop={trans.__('Drop to add it to the question')}
    >
      <Pending
        trans={trans}
        turns={chat.pending}
        editing={state.editing?.id ?? null}
        edit={turn => {
          model.edit(turn);
          model.focus();
        }}
        remove={turn => actions.removePending(turn)}
        sendNow={turn => actions.sendPending(turn)}
      />
      {chat.compacting ? (
        <div className="jp-Cellar-notice" role="status">
          {chat.compacting}
        </div>
      ) : level === 'full' && canCompact ? (
        <div className="jp-Cellar-notice jp-mod-warn" role="status">
          <span>{trans.__('The model’s memory is nearly full.')}</span>
          <MakeRoom trans={trans} canCompact {...actions} />
        </div>
      ) : null}
      {error !== null ? (
        <Notice trans={trans} words={error} close={clearError} />
      ) : null}
      {state.editing ? (
        <div className="jp-Cellar-notice">
          <span>{trans.__('Editing a waiting message')}</span>
          <button
            type="button"
            className="jp-Cellar-textButton"
            title={trans.__('Leave it as it was (Esc)')}
            onClick={() => model.endEdit()}
          >
            {trans.__('Cancel')}
          </button>
        </div>
      ) : null}
      <div className="jp-Cellar-srOnly" role="status">
        {trans._n(
          '%1 attachment',
          '%1 attachments',
          attachedItems(state).length
        )}
      </div>
      <div className="jp-Cellar-box">
        <Pills
          trans={trans}
          state={state}
          preview={seen}
          vision={vision}
          remove={key => model.remove(key)}
          restore={key => model.restore(key)}
          dismissUpload={upload =>
            model.setUploads(list => list.filter(row => row.id !== upload.id))
          }
        />
        {text.trigger &&
        (menu.rows.length || text.trigger.kind === 'mention') ? (
          <Menu
            trans={trans}
            id={MENU_ID}
            menu={menu}
            kind={text.trigger.kind}
            pick={pick}
          />
        ) : null}
        <Area
          {...props}
          state={state}
          text={text}
          active={
            text.trigger && menu.rows.length
              ? optionId(MENU_ID, menu.active)
              : null
          }
          focused={askPreview}
          attach={attach}
          keyPressed={event =>
            act(
              text.keyPressed(event, {
                menu: text.trigger !== null && menu.rows.length > 0,
                running: chat.running,
                sendWith: props.sendWith
              })
            )
          }
        />
        <Tools
          {...props}
          state={state}
          receipt={seen.receipt}
          canCompact={canCompact}
          attach={attach}
          mention={() => startMention(state, text)}
          send={() => send(false)}
        />
      </div>
    </div>
  );
}

/** The `@` button: types the `@` where the caret is. */
function startMention(state: IComposerState, text: IText): void {
  const at = text.area.current?.selectionEnd ?? state.text.length;
  const before = state.text.slice(0, at);
  const mark = before === '' || /\s$/.test(before) ? '@' : ' @';
  text.edit({
    text: before + mark + state.text.slice(at),
    caret: at + mark.length
  });
}

function runLocal(props: IComposerProps, name: string): void {
  if (name === 'help') {
    showHelp(props.trans, props.sendWith);
  } else {
    props.actions.newConversation();
  }
}

interface ISend {
  send(now: boolean): void;
  error: string | null;
  clearError(): void;
}

function useSend(props: IComposerProps, state: IComposerState): ISend {
  const { trans, model, chat, actions } = props;
  const [error, setError] = React.useState<string | null>(null);
  const failed = (why: unknown): void => setError(describe(trans, why));
  const send = (now: boolean): void => {
    if (state.text.trim() === '' || chat.blocked !== null) {
      return;
    }
    setError(null);
    const local = localCommand(state.text);
    if (local) {
      model.fill('');
      runLocal(props, local);
      return;
    }
    const editing = state.editing;
    if (editing) {
      actions
        .changePending(editing, state.text)
        .then(() => model.endEdit(), failed);
      return;
    }
    const taken = model.take();
    actions.send(taken, { now }).catch((why: unknown) => {
      model.putBack(taken);
      failed(why);
    });
  };
  return { send, error, clearError: () => setError(null) };
}

/** Beside the active document; '' is the workspace's root. */
function uploadFolder(state: IComposerState): string {
  const path = state.automatic.find(item => item.path)?.path ?? '';
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function useAttach(props: IComposerProps): (files: readonly File[]) => void {
  const { trans, model, chat, files } = props;
  const options = React.useRef<IAttachOptions>();
  options.current = {
    trans,
    model,
    files,
    folder: uploadFolder(model.getState()),
    images: featureOf(chat.status, 'images'),
    uploads: featureOf(chat.status, 'upload')
  };
  return React.useCallback(list => {
    if (options.current) {
      void attachFiles(list, options.current);
    }
  }, []);
}

function Notice(props: {
  trans: IComposerProps['trans'];
  words: string;
  close(): void;
}): JSX.Element {
  return (
    <div className="jp-Cellar-notice jp-mod-error" role="alert">
      <span>{props.words}</span>
      <button
        type="button"
        className="jp-Cellar-iconButton"
        aria-label={props.trans.__('Dismiss')}
        title={props.trans.__('Dismiss')}
        onClick={props.close}
      >
        <closeIcon.react tag="span" />
      </button>
    </div>
  );
}

interface IAreaProps extends IComposerProps {
  state: IComposerState;
  text: IText;
  /** id of the menu's active row */
  active: string | null;
  focused(): void;
  attach(files: readonly File[]): void;
  keyPressed(event: React.KeyboardEvent<HTMLTextAreaElement>): void;
}

function Area(props: IAreaProps): JSX.Element {
  const { trans, state, text, active, attach } = props;
  const placeholder = attachedItems(state).length
    ? trans.__('Ask about this…')
    : trans.__('Ask… (@ adds context, / for commands)');
  const paste = (event: React.ClipboardEvent): void => {
    const images = imagesOf(event.clipboardData);
    // A copied table brings its picture along: the text is what is meant.
    if (images.length && !event.clipboardData.types.includes('text/plain')) {
      event.preventDefault();
      attach(images);
    }
  };
  return (
    <textarea
      ref={text.area}
      className="jp-Cellar-text"
      rows={1}
      value={state.text}
      placeholder={placeholder}
      aria-label={trans.__('Your question')}
      role={active ? 'combobox' : undefined}
      aria-expanded={active ? true : undefined}
      aria-haspopup={active ? 'listbox' : undefined}
      aria-autocomplete="list"
      aria-controls={active ? MENU_ID : undefined}
      aria-activedescendant={active ?? undefined}
      spellCheck={false}
      onChange={text.changed}
      onSelect={text.caretMoved}
      onFocus={props.focused}
      onPaste={paste}
      onKeyDown={props.keyPressed}
    />
  );
}
