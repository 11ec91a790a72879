"""The attack suite: what somebody who reads everything published can find out about hidden ratings."""
