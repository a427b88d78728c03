"use strict";
// One conversation a tab. The newest resume token is kept in the tab's storage, so that a reload or a lost connection goes on
// where it was. A message that has no answer yet is sent again under the same id: it is answered and charged once.
const TEXTS = {
  zh: { title: "在线客服", end: "结束会话", label: "您的问题", send: "发送", online: "已连接", offline: "连接中断，正在重连…",
        typing: "正在回复…", ended: "会话已结束，再发一条消息即可开始新的会话。", hello: "您好！请问有什么可以帮您？",
        waiting: (n, s) => `前面还有 ${n} 位${s ? `，预计等待 ${s} 秒` : ""}`, log: "对话",
        rate: "这次服务如何？", comment: "补充说明（选填）", submit: "补充", thanks: "谢谢您的评价！", notRated: "评价未能提交，请稍后再试。",
        scores: ["1 分：很不满意", "2 分：不满意", "3 分：一般", "4 分：满意", "5 分：很满意"] },
  en: { title: "Customer service", end: "End", label: "Your question", send: "Send", online: "Connected", offline: "Connection lost, reconnecting…",
        typing: "Answering…", ended: "This conversation has ended. Send a message to begin a new one.", hello: "Hello! How can we help you?",
        waiting: (n, s) => `Your place in the queue: ${n}${s ? `, about ${s} seconds` : ""}`, log: "Conversation",
        rate: "How was this service?", comment: "Tell us more (optional)", submit: "Add", thanks: "Thank you for rating!",
        notRated: "The rating could not be sent. Please try again later.",
        scores: ["1: very bad", "2: bad", "3: fair", "4: good", "5: very good"] },
};
const language = (new URLSearchParams(location.search).get("lang") || navigator.language).startsWith("zh") ? "zh" : "en";
const texts = TEXTS[language];
const element = (id) => document.getElementById(id);
const [log, statusLine, form, input] = ["log", "status", "form", "text"].map(element);
document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
document.title = texts.title;
log.setAttribute("aria-label", texts.log);
for (const node of document.querySelectorAll("[data-text]")) node.textContent = texts[node.dataset.text];
const [rating, stars, rated, more, comment] = ["rating", "stars", "rated", "more", "comment"].map(element);
comment.placeholder = texts.comment;
texts.scores.forEach((name, index) => {
  const [label, radio, star] = ["label", "input", "span"].map((tag) => document.createElement(tag));
  Object.assign(radio, { type: "radio", name: "score", value: index + 1, onchange: () => { more.hidden = false; rate(); } });
  radio.setAttribute("aria-label", name);
  star.textContent = "★";
  star.setAttribute("aria-hidden", "true");
  label.title = name;
  label.append(radio, star);
  stars.append(label);
});

const newId = () => crypto.getRandomValues(new Uint32Array(4)).reduce((id, part) => id + part.toString(16).padStart(8, "0"), "");
let conversation = sessionStorage.getItem("conversation") || newId();
let token = sessionStorage.getItem("token") || "";
let unanswered = null; // { turn_id, text, node }
let unrated = null; // What was rated and not taken yet: the last word counts.
let socket = null;
let retryAfter = 500;
sessionStorage.setItem("conversation", conversation);

function show(kind, text) {
  const line = document.createElement("li");
  line.className = kind;
  line.textContent = text;
  log.append(line);
  log.scrollTop = log.scrollHeight;
  return line;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/v1/conversations/${conversation}/ws`);
  socket.onopen = () => { retryAfter = 500; statusLine.textContent = texts.online; if (unrated) sendRating(); if (unanswered) transmit(); };
  socket.onmessage = (event) => receive(JSON.parse(event.data));
  socket.onclose = (event) => {
    if (event.target !== socket) return;
    statusLine.textContent = texts.offline;
    setTimeout(connect, retryAfter);
    retryAfter = Math.min(retryAfter * 2, 8000);
  };
}

function transmit() {
  if (socket.readyState !== WebSocket.OPEN) return;
  const { turn_id, text } = unanswered;
  statusLine.textContent = texts.typing;
  socket.send(JSON.stringify({ type: "turn", turn_id, text, resume_token: token }));
}

function ask(text) {
  if (unanswered || !text.trim()) return;
  const node = show("customer pending", text);
  unanswered = { turn_id: newId(), text, node };
  transmit();
}

function rate() {
  const chosen = rating.elements.score.value;
  if (!chosen) return;
  unrated = { type: "rating", score: Number(chosen), comment: comment.value };
  sendRating();
}

function sendRating() {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(unrated));
}

function endRating() {
  rating.hidden = more.hidden = true;
  rated.textContent = "";
  unrated = null;
  rating.reset();
}

function receive(message) {
  if (message.type === "rated" || message.type === "rating_refused") {
    unrated = null;
    if (!rating.hidden) rated.textContent = message.type === "rated" ? texts.thanks : texts.notRated;
    return;
  }
  if (message.type === "waiting") {
    statusLine.textContent = texts.waiting(message.position, message.estimate_seconds);
    return;
  }
  if (message.type === "error") {
    if (["UNAVAILABLE", "TIMED_OUT", "WAITING_ROOM_FULL", "SPOOL_UNAVAILABLE"].includes(message.error.reason)) {
      setTimeout(() => unanswered && transmit(), 1000);
      return;
    }
    if (message.error.reason === "RESUME_TOKEN_REFUSED") { restart(); if (unanswered) { socket.close(); } return; }
    show("error", message.error.message);
    unanswered = null;
    return;
  }
  if (unanswered && unanswered.turn_id === message.turn_id) {
    unanswered.node.classList.remove("pending");
    unanswered = null;
  }
  token = message.resume_token;
  sessionStorage.setItem("token", token);
  statusLine.textContent = texts.online;
  rating.hidden = false;
  const line = show("bot", message.candidates.length ? message.text.split("\n")[0] : message.text);
  if (message.candidates.length) {
    const choices = document.createElement("div");
    choices.className = "choices";
    message.candidates.forEach((candidate) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = candidate.question;
      button.onclick = () => ask(candidate.question);
      choices.append(button);
    });
    line.append(choices);
    log.scrollTop = log.scrollHeight;
  }
}

function restart() {
  endRating();
  conversation = newId();
  token = "";
  sessionStorage.setItem("conversation", conversation);
  sessionStorage.removeItem("token");
}

rating.onsubmit = (event) => { event.preventDefault(); rate(); };
form.onsubmit = (event) => { event.preventDefault(); if (!unanswered) { ask(input.value); input.value = ""; } };
element("end").onclick = () => {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "close" }));
  restart();
  show("error", texts.ended);
};
show("bot", texts.hello);
connect();
