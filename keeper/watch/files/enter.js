// Signing in: the token goes into a header once, and the answer is a cookie that scripts cannot read.
"use strict";

const form = document.getElementById("enter");
const field = document.getElementById("token");
const no = document.getElementById("no");

form.addEventListener("submit", async event => {
  event.preventDefault();
  no.textContent = "";
  try {
    const headers = {Authorization: `Bearer ${field.value.trim()}`};
    const answer = await fetch("/api/session", {method: "POST", headers});
    if (answer.ok) {
      location.reload();
      return;
    }
    no.textContent = (await answer.json()).error;
  } catch {
    no.textContent = "web: the keeper did not answer";
  }
  field.select();
});

// A link from elsewhere comes without the cookie; asking again from here brings it.
fetch("/api/state").then(answer => {
  if (answer.ok) location.reload();
}).catch(() => {});
