"""`python -m bot`: run the bot."""

from bot.main import main

if __name__ == "__main__":
    main()
