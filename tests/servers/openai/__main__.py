from tests.servers.openai import OpenAIServer

OpenAIServer.main()
